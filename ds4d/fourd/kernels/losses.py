"""Image losses with their gradients, on a CPU."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

SSIM_WINDOW = 4  # pixels along a side
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


@njit(cache=True, error_model="numpy", fastmath=True)
def _absolute(render, target, v_render):
    """Mean absolute error of each image [B, pixels], and its gradient."""
    B, size = render.shape
    errors = np.empty(B, np.float32)
    weight = np.float32(1 / size)
    for b in range(B):
        error = 0.0
        for i in range(size):
            difference = render[b, i] - target[b, i]
            error += abs(difference)
            v_render[b, i] = _signed(weight, difference)
        errors[b] = error / size
    return errors


@njit(cache=True, error_model="numpy")
def _halved(image):
    """Means over blocks of 2 x 2 pixels of [h, w, 3]; a rest is cut off."""
    h, w, channels = image.shape
    small = np.empty((h // 2, w // 2, channels), np.float32)
    for y in range(h // 2):
        for x in range(w // 2):
            for c in range(channels):
                above = image[2 * y, 2 * x, c] + image[2 * y, 2 * x + 1, c]
                below = image[2 * y + 1, 2 * x, c] + image[2 * y + 1, 2 * x + 1, c]
                small[y, x, c] = np.float32(0.25) * (above + below)
    return small


@njit(cache=True, error_model="numpy")
def _dissimilarity(a, b, v_a):
    """(1 - SSIM) / 2 of [h, w, 3] over windows that do not overlap; adds its gradient to v_a."""
    h, w, channels = a.shape
    rows, columns, area = h // SSIM_WINDOW, w // SSIM_WINDOW, SSIM_WINDOW * SSIM_WINDOW
    total, weight = 0.0, -0.5 / (rows * columns * channels * area)
    for top in range(0, rows * SSIM_WINDOW, SSIM_WINDOW):
        for left in range(0, columns * SSIM_WINDOW, SSIM_WINDOW):
            for c in range(channels):
                mean_a = mean_b = aa = bb = ab = 0.0
                for y in range(top, top + SSIM_WINDOW):
                    for x in range(left, left + SSIM_WINDOW):
                        p, q = float(a[y, x, c]), float(b[y, x, c])
                        mean_a, mean_b = mean_a + p, mean_b + q
                        aa, bb, ab = aa + p * p, bb + q * q, ab + p * q
                mean_a, mean_b = mean_a / area, mean_b / area
                aa, bb, ab = aa / area, bb / area, ab / area
                squares, product = mean_a * mean_a + mean_b * mean_b, mean_a * mean_b
                level, structure = 2 * product + SSIM_C1, 2 * (ab - product) + SSIM_C2
                levels, spread = squares + SSIM_C1, aa + bb - squares + SSIM_C2
                similarity = level * structure / (levels * spread)
                total += similarity
                v_mean = 2 * mean_b * (structure - level) / (levels * spread)
                v_mean -= 2 * mean_a * similarity * (1 / levels - 1 / spread)
                v_mean, v_aa = weight * v_mean, -weight * 2 * similarity / spread
                v_ab = weight * 2 * level / (levels * spread)
                for y in range(top, top + SSIM_WINDOW):
                    for x in range(left, left + SSIM_WINDOW):
                        v_a[y, x, c] += v_mean + v_aa * a[y, x, c] + v_ab * b[y, x, c]
    return (1 - total / (rows * columns * channels)) / 2


@njit(cache=True, error_model="numpy", fastmath=True)
def _slope_error(a, b, v_a):
    """Mean absolute differences of the gradients in x and in y; adds its gradient to v_a."""
    h, w, channels = a.shape
    rows, v = (a - b).reshape(h, -1), v_a.reshape(h, -1)
    error_x = error_y = 0.0
    weight_x = np.float32(1 / (h * (w - 1) * channels))
    weight_y = np.float32(1 / ((h - 1) * w * channels))
    length = w * channels
    from_left, from_above = np.zeros(length + channels, np.float32), np.zeros(length, np.float32)
    for y in range(h):
        row = rows[y]
        for i in range(channels, length):
            slope = row[i] - row[i - channels]
            error_x += abs(slope)
            from_left[i] = _signed(weight_x, slope)
        for i in range(length):
            v[y, i] += from_left[i] - from_left[i + channels] + from_above[i]
        if y + 1 < h:
            below = rows[y + 1]
            for i in range(length):
                slope = below[i] - row[i]
                error_y += abs(slope)
                from_above[i] = _signed(weight_y, slope)
                v[y, i] -= from_above[i]
    return error_x * weight_x + error_y * weight_y


@njit(cache=True, error_model="numpy")
def _signed(weight, slope):
    zero = np.float32(0)
    positive = weight if slope > zero else zero
    return -weight if slope < zero else positive


@njit(cache=True, error_model="numpy")
def _add_quarters(v_small, v_image):
    """The gradient of `_halved`."""
    for y in range(2 * v_small.shape[0]):
        for x in range(2 * v_small.shape[1]):
            for c in range(v_small.shape[2]):
                v_image[y, x, c] += np.float32(0.25) * v_small[y // 2, x // 2, c]


@njit(cache=True, error_model="numpy")
def _structural(render, target, scales, v_render):
    """The structural loss of each image [B, H, W, 3], and its gradient added to zeros."""
    errors = np.empty(len(render), np.float32)
    for b in range(len(render)):
        a, t, v = [render[b]], [target[b]], [v_render[b]]
        error = 0.0
        for scale in range(scales):
            a.append(_halved(a[scale]))
            t.append(_halved(t[scale]))
            v.append(np.zeros_like(a[scale + 1]))
            error += _dissimilarity(a[-1], t[-1], v[-1]) + _slope_error(a[-1], t[-1], v[-1])
        v[scales] /= np.float32(scales)
        for scale in range(scales - 1, -1, -1):
            v[scale] /= np.float32(scales)
            _add_quarters(v[scale + 1], v[scale])
        errors[b] = error / scales
    return errors


class _WithGradient(torch.autograd.Function):
    """The errors [B] of images, whose gradient was found along with them."""

    @staticmethod
    def forward(ctx, render, errors, v_render):
        ctx.save_for_backward(v_render)
        return errors

    @staticmethod
    @once_differentiable
    def backward(ctx, v_errors):
        (v_render,) = ctx.saved_tensors
        return v_errors.view(-1, 1, 1, 1) * v_render, None, None


def absolute(render: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of each image [B, H, W, C]."""
    v_render = torch.empty(render.shape)
    images = (x.detach().contiguous().flatten(1).numpy() for x in (render, target, v_render))
    errors = _absolute(*images)
    return _WithGradient.apply(render, torch.from_numpy(errors), v_render)


def structural(render: Tensor, target: Tensor, scales: int) -> Tensor:
    """See ds4d.fourd.losses.structural."""
    v_render = torch.zeros(render.shape)
    images = (x.detach().contiguous().numpy() for x in (render, target))
    errors = _structural(*images, scales, v_render.numpy())
    return _WithGradient.apply(render, torch.from_numpy(errors), v_render)
