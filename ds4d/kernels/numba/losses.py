"""Image losses with their gradients in one pass over each image, on a CPU."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor
from torch.autograd.function import once_differentiable

from .simd import LOOPS

SSIM_WINDOW = 4  # pixels along a side
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
# Sums may be reordered, but no quotient becomes a product: white / 255 is 1, as a render's white.
SUMS = {"reassoc", "nsz", "nnan", "ninf"}
FULL = np.float32(255)

# An image [h, w, C] is rows [h, w C] here.


@njit(cache=True, error_model="numpy")
def _absolute(render, truth, weight, v_render, rows, columns):
    """Weighted mean absolute error, and its gradient; where pixels differ, rows [h] and columns
    [w C] become greater than 0. truth is uint8."""
    h, length = render.shape
    factor = np.float32(weight / (h * length))
    total = 0.0
    for y in range(h):
        rows[y] = _row_errors(render[y], truth[y], factor, v_render[y], columns)
        total += rows[y]
    return factor * total


@njit(cache=True, error_model="numpy", fastmath=SUMS)
def _row_errors(render, truth, factor, v_render, columns):
    """Sum of a row's absolute differences, which are added to columns, too."""
    total = np.float32(0)
    for i in range(len(render)):
        difference = render[i] - np.float32(truth[i]) / FULL
        distance = abs(difference)
        total += distance
        columns[i] += distance
        v_render[i] = _signed(factor, difference)
    return total


@njit(cache=True, error_model="numpy")
def _signed(weight, slope):
    zero = np.float32(0)
    positive = weight if slope > zero else zero
    return -weight if slope < zero else positive


@njit(cache=True, error_model="numpy")
def _between(apart, block, margin):
    """First and last + 1, in whole blocks, of the places that differ and of a margin around."""
    places = np.nonzero(apart)[0]
    if not len(places):
        return 0, 0
    first, last = max(places[0] - margin, 0), places[-1] + 1 + margin
    return first // block * block, min((last + block - 1) // block * block, len(apart))


@njit(cache=True, error_model="numpy")
def _halve(image, channels, small):
    """Write the means over blocks of 2 x 2 pixels."""
    for y in range(small.shape[0]):
        for i in range(small.shape[1]):
            left = 2 * i - i % channels
            above = image[2 * y, left] + image[2 * y, left + channels]
            below = image[2 * y + 1, left] + image[2 * y + 1, left + channels]
            small[y, i] = np.float32(0.25) * (above + below)


@njit(cache=True, error_model="numpy")
def _halve_backward(v_small, channels, v_image):
    """Add the gradient of `_halve`."""
    for y in range(v_small.shape[0]):
        for i in range(v_small.shape[1]):
            left, v = 2 * i - i % channels, np.float32(0.25) * v_small[y, i]
            v_image[2 * y, left] += v
            v_image[2 * y, left + channels] += v
            v_image[2 * y + 1, left] += v
            v_image[2 * y + 1, left + channels] += v


@njit(cache=True, error_model="numpy")
def _dissimilarity(a, b, channels, scale, v_a):
    """Sum of (1 - SSIM) / 2 over windows that do not overlap, times `scale`; adds its gradient."""
    window = SSIM_WINDOW
    rows, columns, area = a.shape[0] // window, a.shape[1] // channels // window, window * window
    total, weight = 0.0, -0.5 * scale / area
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
                total += 1 - similarity
                v_mean = 2 * mean_b * (structure - level) / (levels * spread)
                v_mean -= 2 * mean_a * similarity * (1 / levels - 1 / spread)
                v_mean, v_aa = weight * v_mean, -weight * 2 * similarity / spread
                v_ab = weight * 2 * level / (levels * spread)
                for y in range(top, top + window):
                    for i in range(left, left + window * channels, channels):
                        v_a[y, i] += v_mean + v_aa * a[y, i] + v_ab * b[y, i]
    return scale * total / 2


@njit(cache=True, error_model="numpy", fastmath=True)
def _slope_error(a, b, channels, scale_x, scale_y, v_a):
    """Sums of the absolute differences of slopes in x and in y, scaled; adds its gradient."""
    h, length = a.shape
    weight_x, weight_y = np.float32(scale_x), np.float32(scale_y)
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
    return error_x * scale_x + error_y * scale_y


@njit(cache=True, error_model="numpy")
def _all_scales(a, b, channels, height, width, scales, weight, v_a):
    """Weighted error at the next scales of what differs in an image of height x width pixels;
    adds its gradient. What does not differ adds nothing but to what the means are taken over."""
    finer, finer_b, v_finer = [a], [b], [v_a]
    error, weight = 0.0, weight / scales
    for level in range(scales):
        height, width = height // 2, width // 2
        shape = finer[level].shape[0] // 2, finer[level].shape[1] // channels // 2 * channels
        small, small_b = np.empty(shape, np.float32), np.empty(shape, np.float32)
        v_small = np.zeros(shape, np.float32)
        _halve(finer[level], channels, small)
        _halve(finer_b[level], channels, small_b)
        windows = (height // SSIM_WINDOW) * (width // SSIM_WINDOW) * channels
        error += _dissimilarity(small, small_b, channels, weight / windows, v_small)
        across, down = height * (width - 1) * channels, (height - 1) * width * channels
        error += _slope_error(small, small_b, channels, weight / across, weight / down, v_small)
        finer.append(small)
        finer_b.append(small_b)
        v_finer.append(v_small)
    for level in range(scales, 0, -1):
        _halve_backward(v_finer[level], channels, v_finer[level - 1])
    return error


@njit(cache=True, error_model="numpy")
def _structural(render, truth, channels, scales, weight, apart, v_render):
    """`_all_scales` of the box in which pixels differ."""
    block, pixel = SSIM_WINDOW << scales, 1 << scales  # of the coarsest scale
    top, bottom = _between(apart[0], block, pixel)
    left, right = _between(apart[1], block * channels, pixel * channels)
    if top == bottom:
        return 0.0
    a = render[top:bottom, left:right].copy()
    b, v_a = np.empty_like(a), np.zeros_like(a)
    for y in range(a.shape[0]):
        for i in range(a.shape[1]):
            b[y, i] = np.float32(truth[top + y, left + i]) / FULL
    height, width = render.shape[0], render.shape[1] // channels
    error = _all_scales(a, b, channels, height, width, scales, weight, v_a)
    for y in range(a.shape[0]):
        for i in range(a.shape[1]):
            v_render[top + y, left + i] += v_a[y, i]
    return error


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def _image_errors(rgb, alpha, true_rgb, true_alpha, weights, scales, v_rgb, v_alpha):
    """The weighted errors of images [B, h, w C], each with three weights [3, B]."""
    B, height, length = rgb.shape
    width = alpha.shape[2]
    errors = np.zeros(B)
    for b in prange(B):
        rows, columns = np.zeros(height, np.float32), np.zeros(length, np.float32)
        plain = np.zeros(width, np.float32)
        errors[b] = _absolute(rgb[b], true_rgb[b], weights[0, b], v_rgb[b], rows, columns)
        errors[b] += _absolute(
            alpha[b], true_alpha[b], weights[1, b], v_alpha[b], np.zeros_like(rows), plain
        )
        if weights[2, b]:
            errors[b] += _structural(
                rgb[b], true_rgb[b], length // width, scales, weights[2, b], (rows, columns),
                v_rgb[b],
            )  # fmt: skip
    return errors


class _WithGradient(torch.autograd.Function):
    """A number whose gradient in the images was found along with it."""

    @staticmethod
    def forward(ctx, rgb, alpha, error, v_rgb, v_alpha):
        ctx.save_for_backward(v_rgb, v_alpha)
        return rgb.new_tensor(error)

    @staticmethod
    @once_differentiable
    def backward(ctx, v_error):
        v_rgb, v_alpha = ctx.saved_tensors
        if v_error != 1:  # or all pixels would be gone through once more, to change nothing
            v_rgb, v_alpha = v_error * v_rgb, v_error * v_alpha
        return v_rgb, v_alpha, None, None, None


def image_errors(
    rgb: Tensor,  # [B, H, W, 3]
    alpha: Tensor,  # [B, H, W, 1]
    true_rgb: Tensor,  # [B, H, W, 3] uint8
    true_alpha: Tensor,  # [B, H, W, 1] uint8
    weights: Tensor,  # [3, B] of absolute errors of colours and mattes, and of the structural one
    scales: int,
) -> Tensor:  # []
    """See ds4d.fourd.losses.image_errors, with absolute errors and the structural one."""
    v_rgb, v_alpha = torch.empty(rgb.shape), torch.empty(alpha.shape)
    rows = [x.detach().contiguous().flatten(2).numpy() for x in (rgb, alpha, true_rgb, true_alpha)]
    errors = _image_errors(
        *rows, weights.numpy(), scales, v_rgb.flatten(2).numpy(), v_alpha.flatten(2).numpy()
    )
    return _WithGradient.apply(rgb, alpha, float(errors.sum()), v_rgb, v_alpha)
