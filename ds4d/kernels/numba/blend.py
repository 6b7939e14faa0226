"""Kernels that blend the Gaussians of each tile, near to far (see pixels.py)."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .pixels import (
    FINAL,
    GROUP,
    LEAST,
    NEVER,
    ONE,
    OPAQUE,
    PIXELS,
    PLANE0,
    PLANE1,
    PLANE2,
    PLANE3,
    STEP,
    STOP,
    TRANSMITTANCE,
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
    any_less,
    load_narrow,
    multiply,
    multiply_add,
    select_less,
    store,
    subtract,
)
from .tiles import TILE_X, TILE_Y


@njit(cache=True, error_model="numpy")
def _blend_in_order(scratch, records, gaussians, bounds, begin, end, left, top):
    """Blend the Gaussians of a tile into its pixels until all of these are finished."""
    channels = records.shape[1] - CHANNELS
    for i in range(begin, end):
        g, k = gaussians[i], np.float32(i - begin)
        shape, curvature, (c0, c1, c2, c3) = at_tile(records, g, left, top)
        first, last, start, stop = bounds[i, 0], bounds[i, 1], bounds[i, 2], bounds[i, 3]
        for x in range(start, stop, NARROW):
            row = first
            while row < last:
                _, _, raw, ratio, until = alphas_from(shape, x, row, last)
                for j in range(row * TILE_X + x, until * TILE_X + x, TILE_X):
                    before = load_narrow(scratch, TRANSMITTANCE + j)
                    weight = multiply(drawn(raw), before)
                    raw, ratio = multiply(raw, ratio), multiply(ratio, curvature)
                    after = subtract(before, weight)
                    ends = select_less(OPAQUE, after, ZERO, weight)
                    if any_less(ZERO, ends):
                        stopped, final = (
                            load_narrow(scratch, STOP + j),
                            load_narrow(scratch, FINAL + j),
                        )
                        store(scratch, STOP + j, select_less(ZERO, ends, k, stopped))
                        store(scratch, FINAL + j, select_less(ZERO, ends, before, final))
                        after = select_less(ZERO, ends, ZERO, after)
                        weight = select_less(ZERO, ends, ZERO, weight)
                    store(scratch, TRANSMITTANCE + j, after)
                    plane = load_narrow(scratch, PLANE0 + j)
                    store(scratch, PLANE0 + j, multiply_add(plane, weight, c0))
                    plane = load_narrow(scratch, PLANE1 + j)
                    store(scratch, PLANE1 + j, multiply_add(plane, weight, c1))
                    plane = load_narrow(scratch, PLANE2 + j)
                    store(scratch, PLANE2 + j, multiply_add(plane, weight, c2))
                    plane = load_narrow(scratch, PLANE3 + j)
                    store(scratch, PLANE3 + j, multiply_add(plane, weight, c3))
                    for channel in range(GROUP, channels):
                        at, color = PLANE0 + channel * STEP + j, records[g, CHANNELS + channel]
                        store(scratch, at, multiply_add(load_narrow(scratch, at), weight, color))
                row = until
        if (i - begin) % 32 == 31 and _all_finished(scratch):
            break


@njit(cache=True, error_model="numpy")
def _all_finished(scratch):
    for j in range(0, PIXELS, NARROW):
        if any_less(ZERO, load_narrow(scratch, TRANSMITTANCE + j)):
            return False
    return True


@njit(cache=True, error_model="numpy")
def _blend_tile(
    scratch, tile, records, tile_starts, gaussians, bounds, backgrounds, colors, alphas, depths,
    ends,
):  # fmt: skip
    C, height, width, D = colors.shape
    camera, left, top = tile_place(tile, C, width, len(tile_starts) - 1)
    right, bottom = min(left + TILE_X, width), min(top + TILE_Y, height)
    begin, end = tile_starts[tile], tile_starts[tile + 1]
    image = colors.reshape(C, height, width * D)
    if begin == end:
        row = scratch[: (right - left) * D]
        for k in range(len(row)):
            row[k] = backgrounds[camera, k % D]
        for y in range(top, bottom):
            image[camera, y, left * D : right * D] = row
            alphas[camera, y, left:right] = 0.0
            depths[camera, y, left:right] = 0.0
        return
    _clear(scratch, right - left, bottom - top)
    _blend_in_order(scratch, records, gaussians, bounds, begin, end, left, top)
    through, planes = ends[tile, 0], scratch[PLANE0:].reshape(-1, STEP)
    for i in range(PIXELS):
        left_over = scratch[TRANSMITTANCE + i]
        through[i] = left_over if left_over > ZERO else scratch[FINAL + i]
    ends[tile, 1] = scratch[STOP : STOP + PIXELS]
    for y in range(top, bottom):
        i = (y - top) * TILE_X
        alpha, depth = alphas[camera, y, left:right], depths[camera, y, left:right]
        for x in range(len(alpha)):
            alpha[x] = ONE - through[i + x]
            depth[x] = planes[D, i + x] / max(alpha[x], LEAST)
        color = image[camera, y, left * D : right * D]
        for d in range(D):
            background = backgrounds[camera, d]
            for x in range(len(alpha)):
                color[x * D + d] = planes[d, i + x] + through[i + x] * background


@njit(cache=True, error_model="numpy")
def _clear(scratch, columns, rows):
    """Reset the pixels: nothing is drawn; those outside the image are finished."""
    scratch[:] = 0.0
    scratch[FINAL : FINAL + PIXELS] = ONE
    scratch[STOP : STOP + PIXELS] = -ONE
    for first in range(0, rows * TILE_X, TILE_X):
        scratch[TRANSMITTANCE + first : TRANSMITTANCE + first + columns] = ONE
        scratch[STOP + first : STOP + first + columns] = NEVER


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def blend(
    records,  # [C * N, CHANNELS + channels]
    tile_starts,  # [C * tiles + 1]
    gaussians,  # [intersections]
    bounds,  # [intersections, 4]
    backgrounds,  # [C, D]
    colors,  # [C, H, W, D], written
    alphas,  # [C, H, W], written
    depths,  # [C, H, W], written
    ends,  # [C * tiles, 2, PIXELS], written: transmittance, and the Gaussian that finished it
    workers,  # number of threads
):
    for worker in prange(workers):
        scratch = new_scratch(records.shape[1] - CHANNELS)
        for tile in range(worker, len(tile_starts) - 1, workers):  # neighbours to different workers
            _blend_tile(
                scratch, tile, records, tile_starts, gaussians, bounds, backgrounds,
                colors, alphas, depths, ends,
            )  # fmt: skip
