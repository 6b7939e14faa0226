"""Kernels of the exact gradients of blending, far to near (see pixels.py)."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .pixels import (
    BEHIND,
    GROUP,
    INNER,
    LARGEST,
    LEAST,
    ONE,
    PIXELS,
    PLANE0,
    PLANE1,
    PLANE2,
    PLANE3,
    STEP,
    STOP,
    TRANSMITTANCE,
    WEIGHT,
    ZERO,
    alphas_from,
    at_tile,
    drawn,
    new_scratch,
    tile_place,
)
from .projection import CHANNELS
from .simd import (
    LOOPS,
    NARROW,
    add,
    broadcast_narrow,
    divide,
    load_narrow,
    multiply,
    multiply_add,
    multiply_subtract,
    reduce_add,
    reduce_add_each,
    select_less,
    store,
    subtract,
)
from .tiles import TILE_X, TILE_Y


@njit(cache=True, error_model="numpy")
def _undo_in_order(
    scratch, records, gaussians, bounds, places, begin, end, left, top, gradients
):  # fmt: skip
    """Take the Gaussians of a tile away, far to near, and write the gradient of each.

    Its first six numbers are the sums over pixels of s, s p, s q, s p^2, s p q, s q^2, where s is
    the gradient in the logarithm of alpha; those of the channels follow. The channels' planes hold
    the gradients in the image, BEHIND the part of the loss that lies behind the Gaussian.
    """
    channels = records.shape[1] - CHANNELS
    for i in range(end - 1, begin - 1, -1):
        g, k, place = gaussians[i], np.float32(i - begin), places[i] * (CHANNELS + channels)
        first, last, start, stop = bounds[i, 0], bounds[i, 1], bounds[i, 2], bounds[i, 3]
        if channels > GROUP:
            _set_inner(scratch, records, g, first, last, start, stop)
        shape, curvature, (c0, c1, c2, c3) = at_tile(records, g, left, top)
        _, _, p_y, _, q_y, _ = shape
        s_1 = s_p = s_q = s_pp = s_pq = s_qq = v_0 = v_1 = v_2 = v_3 = broadcast_narrow(ZERO)
        for x in range(start, stop, NARROW):
            row = first
            while row < last:
                p, q, raw, ratio, until = alphas_from(shape, x, row, last)
                q = broadcast_narrow(q)
                for j in range(row * TILE_X + x, until * TILE_X + x, TILE_X):
                    alpha = select_less(k, load_narrow(scratch, STOP + j), drawn(raw), ZERO)
                    through = divide(ONE, subtract(ONE, alpha))
                    before = multiply(load_narrow(scratch, TRANSMITTANCE + j), through)
                    behind, weight = load_narrow(scratch, BEHIND + j), multiply(alpha, before)
                    v0, v1 = load_narrow(scratch, PLANE0 + j), load_narrow(scratch, PLANE1 + j)
                    v2, v3 = load_narrow(scratch, PLANE2 + j), load_narrow(scratch, PLANE3 + j)
                    inner = multiply_add(multiply(v0, c0), v1, c1)
                    inner = multiply_add(multiply_add(inner, v2, c2), v3, c3)
                    if channels > GROUP:
                        inner = add(inner, load_narrow(scratch, INNER + j))
                        store(scratch, WEIGHT + j, weight)
                    own = multiply(weight, inner)
                    store(scratch, TRANSMITTANCE + j, before)
                    store(scratch, BEHIND + j, add(behind, own))
                    s = multiply_subtract(own, multiply(alpha, through), behind)
                    s = select_less(LARGEST, raw, ZERO, s)
                    sp, sq = multiply(s, p), multiply(s, q)
                    s_1, s_p, s_q = add(s_1, s), add(s_p, sp), add(s_q, sq)
                    s_pp, s_pq = multiply_add(s_pp, sp, p), multiply_add(s_pq, sp, q)
                    s_qq = multiply_add(s_qq, sq, q)
                    v_0, v_1 = multiply_add(v_0, weight, v0), multiply_add(v_1, weight, v1)
                    v_2, v_3 = multiply_add(v_2, weight, v2), multiply_add(v_3, weight, v3)
                    raw, ratio = multiply(raw, ratio), multiply(ratio, curvature)
                    p, q = add(p, p_y), add(q, q_y)
                row = until
        store(gradients, place, reduce_add_each(s_1, s_p, s_q, s_pp, s_pq, s_qq, v_0, v_1))
        gradients[place + CHANNELS + 2], gradients[place + CHANNELS + 3] = (
            reduce_add(v_2),
            reduce_add(v_3),
        )
        for channel in range(GROUP, channels):
            v = _sum_weighted(scratch, PLANE0 + channel * STEP, first, last, start, stop)
            gradients[place + CHANNELS + channel] = v


@njit(cache=True, error_model="numpy")
def _set_inner(scratch, records, g, first, last, start, stop):
    """Write the product of a Gaussian's further channels and their gradients, summed."""
    for y in range(first, last):
        for j in range(y * TILE_X + start, y * TILE_X + stop, NARROW):
            inner = broadcast_narrow(ZERO)
            for channel in range(GROUP, records.shape[1] - CHANNELS):
                plane = load_narrow(scratch, PLANE0 + channel * STEP + j)
                inner = multiply_add(inner, plane, records[g, CHANNELS + channel])
            store(scratch, INNER + j, inner)


@njit(cache=True, error_model="numpy")
def _sum_weighted(scratch, plane, first, last, start, stop):
    sums = broadcast_narrow(ZERO)
    for y in range(first, last):
        for j in range(y * TILE_X + start, y * TILE_X + stop, NARROW):
            weight = load_narrow(scratch, WEIGHT + j)
            sums = multiply_add(sums, weight, load_narrow(scratch, plane + j))
    return reduce_add(sums)


@njit(cache=True, error_model="numpy")
def _blend_tile_backward(
    scratch, tile, records, tile_starts, gaussians, bounds, places, backgrounds, depths, ends,
    v_colors, v_alphas, v_depths, gradients,
):  # fmt: skip
    C, height, width, D = v_colors.shape
    camera, left, top = tile_place(tile, C, width, len(tile_starts) - 1)
    begin, end = tile_starts[tile], tile_starts[tile + 1]
    if begin == end:
        return
    right, bottom = min(left + TILE_X, width), min(top + TILE_Y, height)
    scratch[:] = 0.0
    scratch[TRANSMITTANCE : TRANSMITTANCE + PIXELS] = ends[tile, 0]
    scratch[STOP : STOP + PIXELS] = stops = ends[tile, 1]
    image, planes = v_colors.reshape(C, height, width * D), scratch[PLANE0:].reshape(-1, STEP)
    for y in range(top, bottom):
        i = (y - top) * TILE_X
        through, behind = ends[tile, 0, i : i + right - left], scratch[BEHIND + i :]
        color, depth = image[camera, y, left * D : right * D], depths[camera, y, left:right]
        v_alpha, v_depth = v_alphas[camera, y, left:right], v_depths[camera, y, left:right]
        for x in range(len(through)):
            v = v_depth[x] / max(ONE - through[x], LEAST)
            planes[D, i + x], behind[x] = v, v * depth[x] - v_alpha[x]
        for d in range(D):
            background = backgrounds[camera, d]
            for x in range(len(through)):
                planes[d, i + x] = color[x * D + d]
                behind[x] += planes[d, i + x] * background
        for x in range(len(through)):
            behind[x] *= through[x]
    finished = int(min(begin + stops.max(), end))  # behind this one no Gaussian was drawn
    for i in range(finished, end):
        gradients[places[i]] = 0.0
    _undo_in_order(
        scratch, records, gaussians, bounds, places, begin, finished, left, top,
        gradients.reshape(-1),
    )  # fmt: skip


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def blend_backward(
    records,  # [C * N, CHANNELS + channels]
    tile_starts,  # [C * tiles + 1]
    gaussians,  # [intersections]
    bounds,  # [intersections, 4]
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
        scratch = new_scratch(records.shape[1] - CHANNELS)
        for tile in range(worker, len(tile_starts) - 1, workers):
            _blend_tile_backward(
                scratch, tile, records, tile_starts, gaussians, bounds, places, backgrounds,
                depths, ends, v_colors, v_alphas, v_depths, gradients,
            )  # fmt: skip
