"""Kernels that blend the Gaussians of each tile, near to far, and their exact gradients.

A tile's pixels are a row of planes in one scratch array that stays in the first-level cache, and
every inner loop runs over a contiguous range of pixels, without a branch, so that it vectorises.
Plane offsets and pixel indices are unsigned for the same reason: a signed index could be negative,
which numpy defines as counting from the end.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from .cpu_projection import (
    CHANNELS,
    CONIC_A,
    CONIC_B,
    CONIC_C,
    HALF_HEIGHT,
    MIN_ALPHA,
    OPACITY,
    U,
    V,
)
from .cpu_tiles import TILE

PIXELS = TILE * TILE
GROUP = 4  # channels that are blended in one pass: red, green, blue and depth
NEVER = np.float32(1e9)

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
SMALLEST = np.float32(MIN_ALPHA)
LARGEST = np.float32(0.99)  # alpha
OPAQUE = np.float32(1e-4)  # a pixel is finished before its transmittance falls to this

# Planes of the scratch array.
X, Y, TRANSMITTANCE, STOP, WEIGHT, BEHIND, INNER = (np.uint64(k * PIXELS) for k in range(7))
PLANES = 7  # the planes of the channels follow

# exp(-s) = 2^n 2^f with n an integer and f in (-1, 0]: 2^f is a polynomial (to 8e-8, minimax).
LOG2E = np.float32(1.4426950408889634)
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
def _exp_minus(s):
    """exp(-s) for s >= 0 in float32, relative error below 5e-7."""
    t = max(-s * LOG2E, LOWEST)
    n = np.int32(t)
    f = t - np.float32(n)
    power = np.int32((n + BIAS) << MANTISSA).view(np.float32)
    return power * (P0 + f * (P1 + f * (P2 + f * (P3 + f * (P4 + f * P5)))))


@njit(cache=True, error_model="numpy")
def _pixel_range(record, extent, top):
    """The pixels [first, last) of a tile in the rows that the ellipse reaches."""
    first = math.ceil(max(record[V] - extent - top - 0.5, 0.0))
    last = math.floor(min(record[V] + extent - top - 0.5, TILE - 1.0)) + 1
    return np.uint64(int(first) * TILE), np.uint64(max(int(last), 0) * TILE)


@njit(cache=True, error_model="numpy")
def _new_scratch(channels):
    scratch = np.zeros((PLANES + channels) * PIXELS, np.float32)
    for i in range(PIXELS):
        scratch[X + np.uint64(i)] = i % TILE + 0.5
        scratch[Y + np.uint64(i)] = i // TILE + 0.5
    return scratch


@njit(cache=True, fastmath=True, error_model="numpy")
def _blend_one(scratch, record, k, left, top, first, last, channels):
    """Blends the k-th Gaussian of a tile into its pixels [first, last)."""
    u, v = record[U] - left, record[V] - top
    half_a, b, half_c = HALF * record[CONIC_A], record[CONIC_B], HALF * record[CONIC_C]
    opacity = record[OPACITY]
    for j in range(first, last):
        dx, dy = scratch[X + j] - u, scratch[Y + j] - v
        sigma = half_a * dx * dx + half_c * dy * dy + b * dx * dy
        alpha = min(opacity * _exp_minus(sigma), LARGEST)
        before = scratch[TRANSMITTANCE + j]
        after = before * (ONE - alpha)
        stop = scratch[STOP + j]
        drawn = (alpha >= SMALLEST) & (sigma >= ZERO) & (k < stop)
        finished = drawn & (after <= OPAQUE)
        blended = drawn & (after > OPAQUE)
        scratch[STOP + j] = k if finished else stop
        scratch[WEIGHT + j] = alpha * before if blended else ZERO
        scratch[TRANSMITTANCE + j] = after if blended else before
    for channel in range(0, channels, GROUP):
        c0, c1 = record[CHANNELS + channel], record[CHANNELS + channel + 1]
        c2, c3 = record[CHANNELS + channel + 2], record[CHANNELS + channel + 3]
        plane0 = np.uint64((PLANES + channel) * PIXELS)
        plane1, plane2 = plane0 + np.uint64(PIXELS), plane0 + np.uint64(2 * PIXELS)
        plane3 = plane0 + np.uint64(3 * PIXELS)
        for j in range(first, last):
            weight = scratch[WEIGHT + j]
            scratch[plane0 + j] += weight * c0
            scratch[plane1 + j] += weight * c1
            scratch[plane2 + j] += weight * c2
            scratch[plane3 + j] += weight * c3


@njit(cache=True, parallel=True, error_model="numpy")
def blend(
    records,  # [C * N, CHANNELS + channels]
    ellipses,  # [C * N, 6]
    tile_starts,  # [C * tiles + 1]
    gaussians,  # [intersections]
    backgrounds,  # [C, D]
    colors,  # [C, H, W, D], written
    alphas,  # [C, H, W], written
    depths,  # [C, H, W], written
    ends,  # [C * tiles, 2, PIXELS], written: transmittance, and the Gaussian that finished it
    workers,  # number of threads
):
    C, height, width, D = colors.shape
    channels = records.shape[1] - CHANNELS
    tiles_x, tiles = -(-width // TILE), (len(tile_starts) - 1) // C
    for worker in prange(workers):
        scratch = _new_scratch(channels)
        for tile in range(worker, C * tiles, workers):  # neighbours go to different workers
            camera, left = tile // tiles, tile % tiles % tiles_x * TILE
            top = tile % tiles // tiles_x * TILE
            scratch[PLANES * PIXELS :] = 0.0
            for i in range(PIXELS):
                inside = left + i % TILE < width and top + i // TILE < height
                scratch[TRANSMITTANCE + np.uint64(i)] = 1.0
                scratch[STOP + np.uint64(i)] = NEVER if inside else -1.0
            begin = tile_starts[tile]
            for i in range(begin, tile_starts[tile + 1]):
                g = gaussians[i]
                first, last = _pixel_range(records[g], ellipses[g, HALF_HEIGHT], top)
                _blend_one(
                    scratch, records[g], np.float32(i - begin), np.float32(left),
                    np.float32(top), first, last, channels,
                )  # fmt: skip
                if (i - begin) % 32 == 31 and scratch[STOP : STOP + np.uint64(PIXELS)].max() < NEVER:
                    break
            ends[tile, 0] = scratch[TRANSMITTANCE : TRANSMITTANCE + np.uint64(PIXELS)]
            ends[tile, 1] = scratch[STOP : STOP + np.uint64(PIXELS)]
            for y in range(top, min(top + TILE, height)):
                for x in range(left, min(left + TILE, width)):
                    i = (y - top) * TILE + x - left
                    through = scratch[int(TRANSMITTANCE) + i]
                    alphas[camera, y, x] = 1.0 - through
                    for d in range(D):
                        accumulated = scratch[(PLANES + d) * PIXELS + i]
                        colors[camera, y, x, d] = accumulated + through * backgrounds[camera, d]
                    depth = scratch[(PLANES + D) * PIXELS + i]
                    depths[camera, y, x] = depth / max(np.float32(1.0) - through, np.float32(1e-10))


@njit(cache=True, fastmath=True, error_model="numpy")
def _blend_one_backward(scratch, record, k, left, top, first, last, channels, gradient):
    """Undoes the k-th Gaussian of a tile; its gradient is written to gradient [CHANNELS + channels].

    The first six numbers are the sums over pixels of q, q dx, q dy, q dx^2, q dx dy, q dy^2, where
    q = -dloss/dsigma. BEHIND holds, per pixel, the part of the loss that lies behind the Gaussian.
    """
    for j in range(first, last):
        scratch[INNER + j] = ZERO
    for channel in range(0, channels, GROUP):
        c0, c1 = record[CHANNELS + channel], record[CHANNELS + channel + 1]
        c2, c3 = record[CHANNELS + channel + 2], record[CHANNELS + channel + 3]
        plane0 = np.uint64((PLANES + channel) * PIXELS)
        plane1, plane2 = plane0 + np.uint64(PIXELS), plane0 + np.uint64(2 * PIXELS)
        plane3 = plane0 + np.uint64(3 * PIXELS)
        for j in range(first, last):
            scratch[INNER + j] += (
                scratch[plane0 + j] * c0
                + scratch[plane1 + j] * c1
                + scratch[plane2 + j] * c2
                + scratch[plane3 + j] * c3
            )
    u, v = record[U] - left, record[V] - top
    half_a, b, half_c = HALF * record[CONIC_A], record[CONIC_B], HALF * record[CONIC_C]
    opacity = record[OPACITY]
    q_sum = q_x = q_y = q_xx = q_xy = q_yy = ZERO
    for j in range(first, last):
        dx, dy = scratch[X + j] - u, scratch[Y + j] - v
        sigma = half_a * dx * dx + half_c * dy * dy + b * dx * dy
        raw = opacity * _exp_minus(sigma)
        alpha = min(raw, LARGEST)
        blended = (alpha >= SMALLEST) & (sigma >= ZERO) & (k < scratch[STOP + j])
        alpha = alpha if blended else ZERO
        rest = ONE / (ONE - alpha)
        before = scratch[TRANSMITTANCE + j] * rest
        weight = alpha * before
        inner, behind = scratch[INNER + j], scratch[BEHIND + j]
        scratch[TRANSMITTANCE + j] = before
        scratch[WEIGHT + j] = weight
        scratch[BEHIND + j] = behind + weight * inner
        q = weight * inner - alpha * rest * behind
        q = q if raw <= LARGEST else ZERO
        q_sum += q
        q_x += q * dx
        q_y += q * dy
        q_xx += q * dx * dx
        q_xy += q * dx * dy
        q_yy += q * dy * dy
    gradient[0], gradient[1], gradient[2] = q_sum, q_x, q_y
    gradient[3], gradient[4], gradient[5] = q_xx, q_xy, q_yy
    for channel in range(0, channels, GROUP):
        c0 = c1 = c2 = c3 = ZERO
        plane0 = np.uint64((PLANES + channel) * PIXELS)
        plane1, plane2 = plane0 + np.uint64(PIXELS), plane0 + np.uint64(2 * PIXELS)
        plane3 = plane0 + np.uint64(3 * PIXELS)
        for j in range(first, last):
            weight = scratch[WEIGHT + j]
            c0 += weight * scratch[plane0 + j]
            c1 += weight * scratch[plane1 + j]
            c2 += weight * scratch[plane2 + j]
            c3 += weight * scratch[plane3 + j]
        gradient[CHANNELS + channel], gradient[CHANNELS + channel + 1] = c0, c1
        gradient[CHANNELS + channel + 2], gradient[CHANNELS + channel + 3] = c2, c3


@njit(cache=True, parallel=True, error_model="numpy")
def blend_backward(
    records,  # [C * N, CHANNELS + channels]
    ellipses,  # [C * N, 6]
    tile_starts,  # [C * tiles + 1]
    gaussians,  # [intersections]
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
    C, height, width, D = v_colors.shape
    channels = records.shape[1] - CHANNELS
    tiles_x, tiles = -(-width // TILE), (len(tile_starts) - 1) // C
    for worker in prange(workers):
        scratch = _new_scratch(channels)
        for tile in range(worker, C * tiles, workers):
            camera, left = tile // tiles, tile % tiles % tiles_x * TILE
            top = tile % tiles // tiles_x * TILE
            scratch[PLANES * PIXELS :] = 0.0
            scratch[TRANSMITTANCE : TRANSMITTANCE + np.uint64(PIXELS)] = ends[tile, 0]
            scratch[STOP : STOP + np.uint64(PIXELS)] = ends[tile, 1]
            scratch[BEHIND : BEHIND + np.uint64(PIXELS)] = 0.0
            for y in range(top, min(top + TILE, height)):
                for x in range(left, min(left + TILE, width)):
                    i = (y - top) * TILE + x - left
                    through = scratch[int(TRANSMITTANCE) + i]
                    alpha = max(np.float32(1.0) - through, np.float32(1e-10))
                    v_accumulated = v_depths[camera, y, x] / alpha
                    behind = v_accumulated * depths[camera, y, x] - v_alphas[camera, y, x]
                    for d in range(D):
                        v_color = v_colors[camera, y, x, d]
                        scratch[(PLANES + d) * PIXELS + i] = v_color
                        behind += v_color * backgrounds[camera, d]
                    scratch[(PLANES + D) * PIXELS + i] = v_accumulated
                    scratch[int(BEHIND) + i] = through * behind
            begin = tile_starts[tile]
            last_stop = scratch[STOP : STOP + np.uint64(PIXELS)].max()
            for i in range(tile_starts[tile + 1] - 1, begin - 1, -1):
                g = gaussians[i]
                if i - begin >= last_stop:
                    gradients[places[i]] = 0.0
                    continue
                first, last = _pixel_range(records[g], ellipses[g, HALF_HEIGHT], top)
                _blend_one_backward(
                    scratch, records[g], np.float32(i - begin), np.float32(left),
                    np.float32(top), first, last, channels, gradients[places[i]],
                )  # fmt: skip
