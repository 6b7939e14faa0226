"""Image losses with their gradients, on a CPU."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...lanes import LOOPS

SSIM_WINDOW = 4  # pixels along a side
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


@njit(cache=True, parallel=LOOPS, error_model="numpy", fastmath=True)
def _absolute(render, target, v_render):
    """Mean absolute error of each image [B, pixels], and its gradient."""
    B, size = render.shape
    errors = np.empty(B, np.float32)
    weight = np.float32(1 / size)
    for b in prange(B):
        error = 0.0
        for i in range(size):
            difference = render[b, i] - target[b, i]
            error += abs(difference)
            v_render[b, i] = _signed(weight, difference)
        errors[b] = error / size
    return errors


@njit(cache=True, parallel=LOOPS, error_model="numpy", fastmath=True)
def _trusted(render, target, trust, v_render):
    """`_absolute` with a weight for each pixel [B, pixels]; images are [B, pixels, C] here."""
    B, pixels, channels = render.shape
    errors = np.empty(B, np.float32)
    for b in prange(B):
        error = 0.0
        for i in range(pixels):
            weight = trust[b, i] / (pixels * channels)
            for c in range(channels):
                difference = render[b, i, c] - target[b, i, c]
                error += weight * abs(difference)
                v_render[b, i, c] = _signed(weight, difference)
        errors[b] = error
    return errors


# An image [h, w, C] is rows [h, w C] here.


@njit(cache=True, error_model="numpy")
def _halve(image, channels, small):
    """Writes the means over blocks of 2 x 2 pixels."""
    for y in range(small.shape[0]):
        for i in range(small.shape[1]):
            left = 2 * i - i % channels
            above = image[2 * y, left] + image[2 * y, left + channels]
            below = image[2 * y + 1, left] + image[2 * y + 1, left + channels]
            small[y, i] = np.float32(0.25) * (above + below)


@njit(cache=True, error_model="numpy")
def _halve_backward(v_small, channels, v_image):
    """Adds the gradient of `_halve`."""
    for y in range(v_small.shape[0]):
        for i in range(v_small.shape[1]):
            left, v = 2 * i - i % channels, np.float32(0.25) * v_small[y, i]
            v_image[2 * y, left] += v
            v_image[2 * y, left + channels] += v
            v_image[2 * y + 1, left] += v
            v_image[2 * y + 1, left + channels] += v


@njit(cache=True, error_model="numpy")
def _dissimilarity(a, b, channels, scale, v_a):
    """(1 - SSIM) / 2 over windows that do not overlap; adds `scale` times its gradient to v_a."""
    window = SSIM_WINDOW
    rows, columns, area = a.shape[0] // window, a.shape[1] // channels // window, window * window
    total, weight = 0.0, -0.5 * scale / (rows * columns * channels * area)
    for top in range(0, rows * window, window):
        for window_left in range(0, columns * window * channels, window * channels):
            for left in range(window_left, window_left + channels):
                mean_a = mean_b = aa = bb = ab = 0.0
                for y in range(top, top + window):
                    for i in range(left, left + window * channels, channels):
                        p, q = float(a[y, i]), float(b[y, i])
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
                for y in range(top, top + window):
                    for i in range(left, left + window * channels, channels):
                        v_a[y, i] += v_mean + v_aa * a[y, i] + v_ab * b[y, i]
    return (1 - total / (rows * columns * channels)) / 2


@njit(cache=True, error_model="numpy", fastmath=True)
def _slope_error(a, b, channels, scale, v_a):
    """Mean absolute differences of the gradients in x and in y; adds `scale` times its gradient."""
    h, length = a.shape
    across, down = 1 / (h * (length - channels)), 1 / ((h - 1) * length)
    weight_x, weight_y = np.float32(scale * across), np.float32(scale * down)
    error_x = error_y = 0.0
    row, below = np.empty(length, np.float32), np.empty(length, np.float32)
    from_left, from_above = np.zeros(length + channels, np.float32), np.zeros(length, np.float32)
    for i in range(length):
        row[i] = a[0, i] - b[0, i]
    for y in range(h):
        for i in range(channels, length):
            slope = row[i] - row[i - channels]
            error_x += abs(slope)
            from_left[i] = _signed(weight_x, slope)
        for i in range(length):
            v_a[y, i] += from_left[i] - from_left[i + channels] + from_above[i]
        if y + 1 < h:
            for i in range(length):
                below[i] = a[y + 1, i] - b[y + 1, i]
                slope = below[i] - row[i]
                error_y += abs(slope)
                from_above[i] = _signed(weight_y, slope)
                v_a[y, i] -= from_above[i]
            row, below = below, row
    return error_x * across + error_y * down


@njit(cache=True, error_model="numpy")
def _signed(weight, slope):
    zero = np.float32(0)
    positive = weight if slope > zero else zero
    return -weight if slope < zero else positive


@njit(cache=True, error_model="numpy")
def _all_scales(a, b, channels, scales, v_a):
    """Mean error of an image at its next scales; adds its gradient."""
    finer, finer_b, v_finer = [a], [b], [v_a]
    error, weight = 0.0, 1 / scales
    for level in range(scales):
        shape = finer[level].shape[0] // 2, finer[level].shape[1] // channels // 2 * channels
        small, small_b = np.empty(shape, np.float32), np.empty(shape, np.float32)
        v_small = np.zeros(shape, np.float32)
        _halve(finer[level], channels, small)
        _halve(finer_b[level], channels, small_b)
        error += _dissimilarity(small, small_b, channels, weight, v_small)
        error += _slope_error(small, small_b, channels, weight, v_small)
        finer.append(small)
        finer_b.append(small_b)
        v_finer.append(v_small)
    for level in range(scales, 0, -1):
        _halve_backward(v_finer[level], channels, v_finer[level - 1])
    return weight * error


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def _structural(render, target, channels, scales, v_render):
    """Errors of images [B, h, w C]; adds their gradients."""
    errors = np.empty(len(render), np.float32)
    for b in prange(len(render)):
        errors[b] = _all_scales(render[b], target[b], channels, scales, v_render[b])
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


def absolute(render: Tensor, target: Tensor, trust: Tensor | None) -> Tensor:
    """Mean absolute error of each image [B, H, W, C], its pixels weighted by trust [B, H, W, 1]."""
    v_render = torch.empty(render.shape)
    images = [x.detach().contiguous() for x in (render, target, v_render)]
    if trust is None:
        errors = _absolute(*(x.flatten(1).numpy() for x in images))
    else:
        a, b, v_a = (x.flatten(1, 2).numpy() for x in images)
        errors = _trusted(a, b, trust.contiguous().flatten(1).numpy(), v_a)
    return _WithGradient.apply(render, torch.from_numpy(errors), v_render)


def structural(render: Tensor, target: Tensor, scales: int) -> Tensor:
    """See ds4d.fourd.losses.structural."""
    C, v_render = render.shape[3], torch.zeros(render.shape)
    images = (x.detach().contiguous().flatten(2).numpy() for x in (render, target))
    errors = _structural(*images, C, scales, v_render.flatten(2).numpy())
    return _WithGradient.apply(render, torch.from_numpy(errors), v_render)
