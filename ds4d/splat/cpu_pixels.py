"""Kernels that blend the Gaussians of each tile, near to far, and their exact gradients.

A tile's pixels are a row of planes in one scratch array that stays in the first-level cache. In
each pixel row that a Gaussian reaches, vectors of FEW pixels begin where it does.

From row to row the exponent of alpha changes by a linear function of the row, so alpha is multiplied
by a ratio, and the ratio by a constant: two products instead of a power of two.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from ..lanes import (
    FEW,
    LOOPS,
    LOWEST,
    any_less,
    exp2,
    load_few,
    minus,
    minus_times,
    over,
    plus,
    plus_times,
    spread_few,
    steps_few,
    store,
    times,
    total,
    totals,
    where_less,
)
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
STEP = PIXELS + 48  # from plane to plane: at a power of two, processors mistake one for another
GROUP = 4  # channels that are blended in one pass: red, green, blue and depth
NEVER = np.float32(1e9)

ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)
SMALLEST = np.float32(MIN_ALPHA)
LARGEST = np.float32(0.99)  # alpha
OPAQUE = np.float32(1e-4)  # a pixel is finished before its transmittance falls to this
LEAST = np.float32(1e-10)  # alpha that the depth is divided by
FAINT = np.float32(LOWEST)  # exponents below this one are not told apart

# Planes of the scratch array: transmittance, 0 where the pixel is finished, what it was then, index
# of the Gaussian that finished it, three that only the gradients need, and the channels.
PLANES = 6
TRANSMITTANCE, FINAL, STOP, WEIGHT, BEHIND, INNER = (k * STEP for k in range(PLANES))
PLANE0, PLANE1, PLANE2, PLANE3 = ((PLANES + k) * STEP for k in range(GROUP))


@njit(cache=True, error_model="numpy")
def _new_scratch(channels):
    return np.zeros((PLANES + channels) * STEP, np.float32)


@njit(cache=True, error_model="numpy")
def _place(tile, C, width, tiles):
    """Camera of a tile, and the column and row of its first pixel."""
    tiles_x, tiles_per_camera = -(-width // TILE_X), tiles // C
    camera, place = tile // tiles_per_camera, tile % tiles_per_camera
    return camera, place % tiles_x * TILE_X, place // tiles_x * TILE_Y


@njit(cache=True, error_model="numpy")
def _roots(records, g, left, top):
    """p_0, p_x, p_y, q_0 and q_y: p = p_0 + p_x x + p_y y, q = q_0 + q_y y at a tile's pixels."""
    p_x, p_y, q_y = records[g, ROOT_XX], records[g, ROOT_XY], records[g, ROOT_YY]
    u, v = records[g, U] - np.float32(left) - HALF, records[g, V] - np.float32(top) - HALF
    return -(p_x * u + p_y * v), p_x, p_y, -q_y * v, q_y


@njit(cache=True, error_model="numpy")
def _begin(p, p_y, q, q_y, log_opacity, row, last):
    """2^(log_opacity - p^2 - q^2) at a pixel row, its ratio to that of the next, and the row until
    which both can be continued: the next one where some pixels' alphas are too small to be."""
    exponent = minus_times(minus_times(spread_few(log_opacity), q, q), p, p)
    change = minus_times(spread_few(-p_y * p_y - q_y * (q + q + q_y)), p, p_y + p_y)
    return exp2(exponent), exp2(change), row + 1 if any_less(exponent, FAINT) else last


@njit(cache=True, error_model="numpy")
def _bend(p_y, q_y):
    """The ratio of the ratios of two rows."""
    return exp2(spread_few(np.float32(-2) * (p_y * p_y + q_y * q_y)))


@njit(cache=True, error_model="numpy")
def _drawn(raw):
    """Alpha, 0 where it is too small to be drawn."""
    alpha = where_less(raw, LARGEST, raw, LARGEST)
    return where_less(alpha, SMALLEST, ZERO, alpha)


@njit(cache=True, error_model="numpy")
def _blend_in_order(scratch, records, gaussians, bounds, begin, end, left, top):
    """Blends the Gaussians of a tile into its pixels until all of these are finished."""
    channels = records.shape[1] - CHANNELS
    for i in range(begin, end):
        g, k = gaussians[i], np.float32(i - begin)
        p_0, p_x, p_y, q_0, q_y = _roots(records, g, left, top)
        log_opacity = records[g, LOG_OPACITY]
        c0, c1 = records[g, CHANNELS], records[g, CHANNELS + 1]
        c2, c3 = records[g, CHANNELS + 2], records[g, CHANNELS + 3]
        steps, bend = steps_few(p_x), _bend(p_y, q_y)
        row, last = bounds[i, 0], bounds[i, 1]
        for x in range(bounds[i, 2], bounds[i, 3], FEW):
            row = bounds[i, 0]
            while row < last:
                y = np.float32(row)
                p, q = plus(steps, p_0 + p_x * np.float32(x) + p_y * y), q_0 + q_y * y
                raw, ratio, until = _begin(p, p_y, q, q_y, log_opacity, row, last)
                for j in range(row * TILE_X + x, until * TILE_X + x, TILE_X):
                    before = load_few(scratch, TRANSMITTANCE + j)
                    weight = times(_drawn(raw), before)
                    raw, ratio = times(raw, ratio), times(ratio, bend)
                    after = minus(before, weight)
                    ends = where_less(OPAQUE, after, ZERO, weight)
                    if any_less(ZERO, ends):
                        stop, final = load_few(scratch, STOP + j), load_few(scratch, FINAL + j)
                        store(scratch, STOP + j, where_less(ZERO, ends, k, stop))
                        store(scratch, FINAL + j, where_less(ZERO, ends, before, final))
                        after = where_less(ZERO, ends, ZERO, after)
                        weight = where_less(ZERO, ends, ZERO, weight)
                    store(scratch, TRANSMITTANCE + j, after)
                    plane = load_few(scratch, PLANE0 + j)
                    store(scratch, PLANE0 + j, plus_times(plane, weight, c0))
                    plane = load_few(scratch, PLANE1 + j)
                    store(scratch, PLANE1 + j, plus_times(plane, weight, c1))
                    plane = load_few(scratch, PLANE2 + j)
                    store(scratch, PLANE2 + j, plus_times(plane, weight, c2))
                    plane = load_few(scratch, PLANE3 + j)
                    store(scratch, PLANE3 + j, plus_times(plane, weight, c3))
                    for channel in range(GROUP, channels):
                        at, color = PLANE0 + channel * STEP + j, records[g, CHANNELS + channel]
                        store(scratch, at, plus_times(load_few(scratch, at), weight, color))
                row = until
        if (i - begin) % 32 == 31 and _all_finished(scratch):
            break


@njit(cache=True, error_model="numpy")
def _all_finished(scratch):
    for j in range(0, PIXELS, FEW):
        if any_less(ZERO, load_few(scratch, TRANSMITTANCE + j)):
            return False
    return True


@njit(cache=True, error_model="numpy")
def _blend_tile(
    scratch, tile, records, tile_starts, gaussians, bounds, backgrounds, colors, alphas, depths,
    ends,
):  # fmt: skip
    C, height, width, D = colors.shape
    camera, left, top = _place(tile, C, width, len(tile_starts) - 1)
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
    """Nothing is drawn yet; pixels outside the image are finished."""
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
        scratch = _new_scratch(records.shape[1] - CHANNELS)
        for tile in range(worker, len(tile_starts) - 1, workers):  # neighbours to different workers
            _blend_tile(
                scratch, tile, records, tile_starts, gaussians, bounds, backgrounds,
                colors, alphas, depths, ends,
            )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _undo_in_order(
    scratch, records, gaussians, bounds, places, begin, end, left, top, gradients
):  # fmt: skip
    """Takes the Gaussians of a tile away, far to near, and writes the gradient of each.

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
        p_0, p_x, p_y, q_0, q_y = _roots(records, g, left, top)
        log_opacity = records[g, LOG_OPACITY]
        c0, c1 = records[g, CHANNELS], records[g, CHANNELS + 1]
        c2, c3 = records[g, CHANNELS + 2], records[g, CHANNELS + 3]
        steps, bend = steps_few(p_x), _bend(p_y, q_y)
        s_1 = s_p = s_q = s_pp = s_pq = s_qq = v_0 = v_1 = v_2 = v_3 = spread_few(ZERO)
        for x in range(start, stop, FEW):
            row = first
            while row < last:
                y = np.float32(row)
                p, q = plus(steps, p_0 + p_x * np.float32(x) + p_y * y), q_0 + q_y * y
                raw, ratio, until = _begin(p, p_y, q, q_y, log_opacity, row, last)
                q = spread_few(q)
                for j in range(row * TILE_X + x, until * TILE_X + x, TILE_X):
                    alpha = where_less(k, load_few(scratch, STOP + j), _drawn(raw), ZERO)
                    through = over(ONE, minus(ONE, alpha))
                    before = times(load_few(scratch, TRANSMITTANCE + j), through)
                    behind, weight = load_few(scratch, BEHIND + j), times(alpha, before)
                    v0, v1 = load_few(scratch, PLANE0 + j), load_few(scratch, PLANE1 + j)
                    v2, v3 = load_few(scratch, PLANE2 + j), load_few(scratch, PLANE3 + j)
                    inner = plus_times(times(v0, c0), v1, c1)
                    inner = plus_times(plus_times(inner, v2, c2), v3, c3)
                    if channels > GROUP:
                        inner = plus(inner, load_few(scratch, INNER + j))
                        store(scratch, WEIGHT + j, weight)
                    own = times(weight, inner)
                    store(scratch, TRANSMITTANCE + j, before)
                    store(scratch, BEHIND + j, plus(behind, own))
                    s = minus_times(own, times(alpha, through), behind)
                    s = where_less(LARGEST, raw, ZERO, s)
                    sp, sq = times(s, p), times(s, q)
                    s_1, s_p, s_q = plus(s_1, s), plus(s_p, sp), plus(s_q, sq)
                    s_pp, s_pq = plus_times(s_pp, sp, p), plus_times(s_pq, sp, q)
                    s_qq = plus_times(s_qq, sq, q)
                    v_0, v_1 = plus_times(v_0, weight, v0), plus_times(v_1, weight, v1)
                    v_2, v_3 = plus_times(v_2, weight, v2), plus_times(v_3, weight, v3)
                    raw, ratio = times(raw, ratio), times(ratio, bend)
                    p, q = plus(p, p_y), plus(q, q_y)
                row = until
        store(gradients, place, totals(s_1, s_p, s_q, s_pp, s_pq, s_qq, v_0, v_1))
        gradients[place + CHANNELS + 2], gradients[place + CHANNELS + 3] = total(v_2), total(v_3)
        for channel in range(GROUP, channels):
            v = _sum_weighted(scratch, PLANE0 + channel * STEP, first, last, start, stop)
            gradients[place + CHANNELS + channel] = v


@njit(cache=True, error_model="numpy")
def _set_inner(scratch, records, g, first, last, start, stop):
    """The further channels' part of the product of a Gaussian's colour and the gradients."""
    for y in range(first, last):
        for j in range(y * TILE_X + start, y * TILE_X + stop, FEW):
            inner = spread_few(ZERO)
            for channel in range(GROUP, records.shape[1] - CHANNELS):
                plane = load_few(scratch, PLANE0 + channel * STEP + j)
                inner = plus_times(inner, plane, records[g, CHANNELS + channel])
            store(scratch, INNER + j, inner)


@njit(cache=True, error_model="numpy")
def _sum_weighted(scratch, plane, first, last, start, stop):
    sums = spread_few(ZERO)
    for y in range(first, last):
        for j in range(y * TILE_X + start, y * TILE_X + stop, FEW):
            weight = load_few(scratch, WEIGHT + j)
            sums = plus_times(sums, weight, load_few(scratch, plane + j))
    return total(sums)


@njit(cache=True, error_model="numpy")
def _blend_tile_backward(
    scratch, tile, records, tile_starts, gaussians, bounds, places, backgrounds, depths, ends,
    v_colors, v_alphas, v_depths, gradients,
):  # fmt: skip
    C, height, width, D = v_colors.shape
    camera, left, top = _place(tile, C, width, len(tile_starts) - 1)
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
        scratch = _new_scratch(records.shape[1] - CHANNELS)
        for tile in range(worker, len(tile_starts) - 1, workers):
            _blend_tile_backward(
                scratch, tile, records, tile_starts, gaussians, bounds, places, backgrounds,
                depths, ends, v_colors, v_alphas, v_depths, gradients,
            )  # fmt: skip
