"""Kernels that blend the Gaussians of each tile, near to far, and their exact gradients.

A tile's pixels are a row of planes in one scratch array that stays in the first-level cache, and
every inner loop runs over a contiguous range of pixels, without a branch, so that it vectorises.
Plane offsets and pixel indices are unsigned for the same reason: a signed index could be negative,
which numpy defines as counting from the end.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .cpu_projection import (
    CHANNELS,
    LOG_OPACITY,
    MIN_ALPHA,
    ROOT_XX,
    ROOT_XY,
    ROOT_YY,
    U,
    V,
)
from .cpu_tiles import TILE_X, TILE_Y

PIXELS = TILE_X * TILE_Y
LINE = 16  # numbers in a line of the first-level cache: vectors that straddle two cost twice
GROUP = 4  # channels that are blended in one pass: red, green, blue and depth
NEVER = np.float32(1e9)

ZERO, ONE = np.float32(0), np.float32(1)
SMALLEST = np.float32(MIN_ALPHA)
LARGEST = np.float32(0.99)  # alpha
OPAQUE = np.float32(1e-4)  # a pixel is finished before its transmittance falls to this
LEAST = np.float32(1e-10)  # alpha that the depth is divided by

# Planes of the scratch array: pixel centres, transmittance, index of the Gaussian that finished
# the pixel, weight of the Gaussian at hand, two that only the gradients need, and the channels.
PLANES = 7
X, Y, TRANSMITTANCE, STOP, WEIGHT, BEHIND, INNER = (np.uint64(k * PIXELS) for k in range(PLANES))
PLANE0, PLANE1, PLANE2, PLANE3 = (np.uint64((PLANES + k) * PIXELS) for k in range(GROUP))

# 2^t = 2^n 2^f with n an integer and f in (-1, 0]: 2^f is a polynomial (to 8e-8, minimax).
LOWEST = np.float32(-100)
BIAS, MANTISSA = np.int32(127), np.int32(23)
P0, P1, P2, P3, P4, P5 = (
    np.float32(p)
    for p in (
        0.9999999250634852,
        0.6931422525915872,
        0.24017218923635267,
        0.05527972254853009,
        0.009188611694741179,
        0.0009387883226788661,
    )
)


@njit(cache=True, fastmath=True, error_model="numpy")
def _exp2(t):
    """2^t for t <= 0 in float32, relative error below 5e-7."""
    t = max(t, LOWEST)
    n = np.int32(t)
    f = t - np.float32(n)
    power = np.int32((n + BIAS) << MANTISSA).view(np.float32)
    return power * (P0 + f * (P1 + f * (P2 + f * (P3 + f * (P4 + f * P5)))))


@njit(cache=True, error_model="numpy")
def _new_scratch(channels):
    size = (PLANES + channels) * PIXELS
    memory = np.zeros(size + LINE, np.float32)
    skipped = -(memory.ctypes.data // 4) % LINE
    scratch = memory[skipped : skipped + size]
    for i in range(PIXELS):
        scratch[X + np.uint64(i)] = i % TILE_X + 0.5
        scratch[Y + np.uint64(i)] = i // TILE_X + 0.5
    return scratch


@njit(cache=True, error_model="numpy")
def _place(tile, C, width, tiles):
    """Camera of a tile, and the column and row of its first pixel."""
    tiles_x, tiles_per_camera = -(-width // TILE_X), tiles // C
    camera, place = tile // tiles_per_camera, tile % tiles_per_camera
    return camera, place % tiles_x * TILE_X, place // tiles_x * TILE_Y


@njit(cache=True, error_model="numpy")
def _offsets(u, v, p_x, p_y, q_y):
    """p_0 and q_0, so that p = p_x x + p_y y + p_0 and q = q_y y + q_0 at the pixels of a tile."""
    return np.float32(-(p_x * u + p_y * v)), np.float32(-q_y * v)


@njit(cache=True, fastmath=True, error_model="numpy")
def _blend_in_order(scratch, records, gaussians, rows, begin, end, left, top):
    """Blends the Gaussians of a tile into its pixels until all of these are finished."""
    channels = records.shape[1] - CHANNELS
    for i in range(begin, end):
        g, k = gaussians[i], np.float32(i - begin)
        first, last = np.uint64(rows[i, 0] * TILE_X), np.uint64(rows[i, 1] * TILE_X)
        p_x, p_y, q_y = records[g, ROOT_XX], records[g, ROOT_XY], records[g, ROOT_YY]
        p_0, q_0 = _offsets(records[g, U] - left, records[g, V] - top, p_x, p_y, q_y)
        log_opacity = records[g, LOG_OPACITY]
        c0, c1 = records[g, CHANNELS], records[g, CHANNELS + 1]
        c2, c3 = records[g, CHANNELS + 2], records[g, CHANNELS + 3]
        for j in range(first, last):
            y = scratch[Y + j]
            p, q = p_x * scratch[X + j] + (p_y * y + p_0), q_y * y + q_0
            alpha = min(_exp2(log_opacity - p * p - q * q), LARGEST)
            before, stop = scratch[TRANSMITTANCE + j], scratch[STOP + j]
            after = before - alpha * before
            drawn = (alpha >= SMALLEST) & (k < stop)
            weight = alpha * before if drawn & (after > OPAQUE) else ZERO
            scratch[STOP + j] = min(stop, k if drawn & (after <= OPAQUE) else NEVER)
            scratch[TRANSMITTANCE + j] = before - weight
            scratch[WEIGHT + j] = weight
            scratch[PLANE0 + j] += weight * c0
            scratch[PLANE1 + j] += weight * c1
            scratch[PLANE2 + j] += weight * c2
            scratch[PLANE3 + j] += weight * c3
        for channel in range(GROUP, channels):
            color, plane = records[g, CHANNELS + channel], PLANE0 + np.uint64(channel * PIXELS)
            for j in range(first, last):
                scratch[plane + j] += scratch[WEIGHT + j] * color
        if (i - begin) % 32 == 31:
            latest = ZERO
            for j in range(np.uint64(PIXELS)):
                latest = max(latest, scratch[STOP + j])
            if latest < NEVER:
                break


@njit(cache=True, error_model="numpy")
def _blend_tile(
    scratch, tile, records, tile_starts, gaussians, rows, backgrounds, colors, alphas, depths, ends
):  # fmt: skip
    C, height, width, D = colors.shape
    camera, left, top = _place(tile, C, width, len(tile_starts) - 1)
    through, stops = scratch[TRANSMITTANCE:STOP], scratch[STOP:WEIGHT]
    planes = scratch[PLANE0:].reshape(-1, PIXELS)
    planes[:] = 0.0
    through[:] = 1.0
    for i in range(PIXELS):
        inside = left + i % TILE_X < width and top + i // TILE_X < height
        stops[i] = NEVER if inside else -1.0
    begin, end = tile_starts[tile], tile_starts[tile + 1]
    _blend_in_order(scratch, records, gaussians, rows, begin, end, left, top)
    ends[tile, 0] = through
    ends[tile, 1] = stops
    for y in range(top, min(top + TILE_Y, height)):
        for x in range(left, min(left + TILE_X, width)):
            i = (y - top) * TILE_X + x - left
            alpha = ONE - through[i]
            alphas[camera, y, x] = alpha
            depths[camera, y, x] = planes[D, i] / max(alpha, LEAST)
            for d in range(D):
                colors[camera, y, x, d] = planes[d, i] + through[i] * backgrounds[camera, d]


@njit(cache=True, parallel=True, error_model="numpy")
def blend(
    records,  # [C * N, CHANNELS + channels]
    tile_starts,  # [C * tiles + 1]
    gaussians,  # [intersections]
    rows,  # [intersections, 2]
    backgrounds,  # [C, D]
    colors,  # [C, H, W, D], written
    alphas,  # [C, H, W], written
    depths,  # [C, H, W], written
    ends,  # [C * tiles, 2, PIXELS], written: transmittance, and the Gaussian that finished it
    workers,  # number of threads
):
    for worker in prange(workers):
        scratch = _new_scratch(records.shape[1] - CHANNELS)
        for tile in range(worker, len(tile_starts) - 1, workers):  # neighbours to different workers
            _blend_tile(
                scratch, tile, records, tile_starts, gaussians, rows, backgrounds,
                colors, alphas, depths, ends,
            )  # fmt: skip


@njit(cache=True, fastmath=True, error_model="numpy")
def _undo_in_order(
    scratch, records, gaussians, rows, places, begin, end, left, top, gradients
):  # fmt: skip
    """Takes the Gaussians of a tile away, far to near, and writes the gradient of each.

    Its first six numbers are the sums over pixels of s, s p, s q, s p^2, s p q, s q^2, where s is
    the gradient in the logarithm of alpha; those of the channels follow. The channels' planes hold
    the gradients in the image, BEHIND the part of the loss that lies behind the Gaussian.
    """
    channels = records.shape[1] - CHANNELS
    for i in range(end - 1, begin - 1, -1):
        g, place, k = gaussians[i], places[i], np.float32(i - begin)
        first, last = np.uint64(rows[i, 0] * TILE_X), np.uint64(rows[i, 1] * TILE_X)
        for channel in range(GROUP, channels):
            color, plane = records[g, CHANNELS + channel], PLANE0 + np.uint64(channel * PIXELS)
            for j in range(first, last):
                inner = scratch[INNER + j] if channel > GROUP else ZERO
                scratch[INNER + j] = inner + scratch[plane + j] * color
        p_x, p_y, q_y = records[g, ROOT_XX], records[g, ROOT_XY], records[g, ROOT_YY]
        p_0, q_0 = _offsets(records[g, U] - left, records[g, V] - top, p_x, p_y, q_y)
        log_opacity = records[g, LOG_OPACITY]
        c0, c1 = records[g, CHANNELS], records[g, CHANNELS + 1]
        c2, c3 = records[g, CHANNELS + 2], records[g, CHANNELS + 3]
        s_1 = s_p = s_q = s_pp = s_pq = s_qq = v_0 = v_1 = v_2 = v_3 = ZERO
        for j in range(first, last):
            y = scratch[Y + j]
            p, q = p_x * scratch[X + j] + (p_y * y + p_0), q_y * y + q_0
            raw = _exp2(log_opacity - p * p - q * q)
            alpha = min(raw, LARGEST)
            alpha = alpha if (alpha >= SMALLEST) & (k < scratch[STOP + j]) else ZERO
            ratio = ONE / (ONE - alpha)
            before, behind = scratch[TRANSMITTANCE + j] * ratio, scratch[BEHIND + j]
            weight = alpha * before
            inner = scratch[INNER + j] + (
                (scratch[PLANE0 + j] * c0 + scratch[PLANE1 + j] * c1)
                + (scratch[PLANE2 + j] * c2 + scratch[PLANE3 + j] * c3)
            )
            scratch[TRANSMITTANCE + j] = before
            scratch[BEHIND + j] = behind + weight * inner
            scratch[WEIGHT + j] = weight
            s = weight * inner - alpha * ratio * behind
            s = s if raw <= LARGEST else ZERO
            s_1 += s
            s_p += s * p
            s_q += s * q
            s_pp += s * p * p
            s_pq += s * p * q
            s_qq += s * q * q
            v_0 += weight * scratch[PLANE0 + j]
            v_1 += weight * scratch[PLANE1 + j]
            v_2 += weight * scratch[PLANE2 + j]
            v_3 += weight * scratch[PLANE3 + j]
        gradients[place, 0], gradients[place, 1], gradients[place, 2] = s_1, s_p, s_q
        gradients[place, 3], gradients[place, 4], gradients[place, 5] = s_pp, s_pq, s_qq
        gradients[place, CHANNELS], gradients[place, CHANNELS + 1] = v_0, v_1
        gradients[place, CHANNELS + 2], gradients[place, CHANNELS + 3] = v_2, v_3
        for channel in range(GROUP, channels):
            plane, v = PLANE0 + np.uint64(channel * PIXELS), ZERO
            for j in range(first, last):
                v += scratch[WEIGHT + j] * scratch[plane + j]
            gradients[place, CHANNELS + channel] = v


@njit(cache=True, error_model="numpy")
def _blend_tile_backward(
    scratch, tile, records, tile_starts, gaussians, rows, places, backgrounds, depths, ends,
    v_colors, v_alphas, v_depths, gradients,
):  # fmt: skip
    C, height, width, D = v_colors.shape
    camera, left, top = _place(tile, C, width, len(tile_starts) - 1)
    through, stops = scratch[TRANSMITTANCE:STOP], scratch[STOP:WEIGHT]
    behind, planes = scratch[BEHIND:INNER], scratch[PLANE0:].reshape(-1, PIXELS)
    through[:] = ends[tile, 0]
    stops[:] = ends[tile, 1]
    behind[:] = 0.0
    planes[:] = 0.0
    for y in range(top, min(top + TILE_Y, height)):
        for x in range(left, min(left + TILE_X, width)):
            i = (y - top) * TILE_X + x - left
            v_depth = v_depths[camera, y, x] / max(ONE - through[i], LEAST)
            loss = v_depth * depths[camera, y, x] - v_alphas[camera, y, x]
            for d in range(D):
                planes[d, i] = v_colors[camera, y, x, d]
                loss += planes[d, i] * backgrounds[camera, d]
            planes[D, i] = v_depth
            behind[i] = through[i] * loss
    begin, end = tile_starts[tile], tile_starts[tile + 1]
    finished = int(min(begin + stops.max(), end))  # behind this one no Gaussian was drawn
    for i in range(finished, end):
        gradients[places[i]] = 0.0
    _undo_in_order(
        scratch, records, gaussians, rows, places, begin, finished, left, top, gradients
    )  # fmt: skip


@njit(cache=True, parallel=True, error_model="numpy")
def blend_backward(
    records,  # [C * N, CHANNELS + channels]
    tile_starts,  # [C * tiles + 1]
    gaussians,  # [intersections]
    rows,  # [intersections, 2]
    places,  # [intersections]
    backgrounds,  # [C, D]
    depths,  # [C, H, W]
    ends,  # [C * tiles, 2, PIXELS]
    v_colors,  # [C, H, W, D]
    v_alphas,  # [C, H, W]
    v_depths,  # [C, H, W]
    gradients,  # [intersections, CHANNELS + channels], written, in the order of places
    workers,  # number of threads
):
    for worker in prange(workers):
        scratch = _new_scratch(records.shape[1] - CHANNELS)
        for tile in range(worker, len(tile_starts) - 1, workers):
            _blend_tile_backward(
                scratch, tile, records, tile_starts, gaussians, rows, places, backgrounds,
                depths, ends, v_colors, v_alphas, v_depths, gradients,
            )  # fmt: skip
