"""Kernels that list, for each tile of each image, the Gaussians that touch it, near to far.

The Gaussians come sorted by depth; each writes the numbers of its tiles one after another, and one
stable sort by tile for the whole batch keeps the order of depths within every tile.

Loops whose length is a tensor are while loops: Triton's interpreter refuses it in a range.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

from ..constants import MIN_ALPHA

# Columns of a record, one row per camera and Gaussian; the channels (colours, depth, zeros) follow.
# alpha = 2^(LOG_OPACITY - p^2 - q^2) with p = ROOT_XX dx + ROOT_XY dy and q = ROOT_YY dy: the
# root of the inverse covariance instead of itself, so that the exponent cannot lose its sign.
# LOG_OPACITY is -infinity where the Gaussian is not visible.
U = tl.constexpr(0)
V = tl.constexpr(1)
ROOT_XX = tl.constexpr(2)
ROOT_XY = tl.constexpr(3)
ROOT_YY = tl.constexpr(4)
LOG_OPACITY = tl.constexpr(5)
CHANNELS = tl.constexpr(8)  # a multiple of 4: four channels are one load

LOG_LEAST = tl.constexpr(-math.log2(MIN_ALPHA))
SLACK = tl.constexpr(0.01)  # more reach than exact: rounding must not lose a pixel


@triton.jit
def load_shape(records, g, channels: tl.constexpr, mask):
    """Centre, root and logarithm of the opacity of the Gaussians g."""
    row = records + g * (CHANNELS + channels)
    u, v = tl.load(row + U, mask, 0.0), tl.load(row + V, mask, 0.0)
    xx, xy = tl.load(row + ROOT_XX, mask, 1.0), tl.load(row + ROOT_XY, mask, 0.0)
    yy = tl.load(row + ROOT_YY, mask, 1.0)
    return u, v, xx, xy, yy, tl.load(row + LOG_OPACITY, mask, 0.0)


@triton.jit
def _pixels_between(low, high, size):
    """First and last of the pixels whose centres lie in [low, high] and in an image's size."""
    first = tl.ceil(tl.maximum(low - 0.5, 0.0)).to(tl.int32)
    last = tl.floor(tl.minimum(high - 0.5, size - 1.0)).to(tl.int32)
    return first, last


@triton.jit
def tile_rows(shape, height, TILE_Y: tl.constexpr):
    """The tile rows [first, last) with a pixel centre between the ellipse's top and bottom.

    The ellipse is where alpha >= 1/255, so p^2 + q^2 <= reach.
    """
    u, v, xx, xy, yy, log_opacity = shape
    half = tl.sqrt(log_opacity + LOG_LEAST + SLACK) / yy
    first, last = _pixels_between(v - half, v + half, height)
    empty = first > last
    return tl.where(empty, 0, first // TILE_Y), tl.where(empty, 0, last // TILE_Y + 1)


@triton.jit
def tile_columns(shape, row, width, TILE_X: tl.constexpr, TILE_Y: tl.constexpr):
    """The tile columns [first, last) where the ellipse covers pixel centres of the tile row.

    At the height dy it spans  slope dy +- ratio sqrt(half^2 - dy^2)  in x, and it reaches furthest
    at dy = +-extreme. Both sides are concave: the extreme inside a band of heights is the clamped
    extreme of the whole.
    """
    u, v, xx, xy, yy, log_opacity = shape
    root_reach = tl.sqrt(log_opacity + LOG_LEAST + SLACK)
    half, slope, ratio = root_reach / yy, -xy / xx, yy / xx
    extreme = -half * xy / tl.sqrt(yy * yy + xy * xy)
    y = v - row * TILE_Y
    low, high = tl.maximum(0.5 - y, -half), tl.minimum(TILE_Y - 0.5 - y, half)
    at = tl.minimum(tl.maximum(extreme, low), high)
    upper = slope * at + ratio * tl.sqrt(tl.maximum(half * half - at * at, 0.0))
    at = tl.minimum(tl.maximum(-extreme, low), high)
    lower = slope * at - ratio * tl.sqrt(tl.maximum(half * half - at * at, 0.0))
    first, last = _pixels_between(u + lower, u + upper, width)
    empty = first > last
    return tl.where(empty, 0, first // TILE_X), tl.where(empty, 0, last // TILE_X + 1)


@triton.jit
def count_tiles(
    shape, visible, width, height, TILE_X: tl.constexpr, TILE_Y: tl.constexpr
):  # fmt: skip
    """The number of tiles that each ellipse touches."""
    first, last = tile_rows(shape, height, TILE_Y)
    rows = tl.where(visible, last - first, 0)
    count = tl.zeros_like(rows)
    k, most = 0, tl.max(rows, 0)
    while k < most:
        left, right = tile_columns(shape, first + k, width, TILE_X, TILE_Y)
        count += tl.where(k < rows, right - left, 0)
        k += 1
    return count


@triton.jit(do_not_specialize=["gaussians", "N", "capacity", "tiles_x", "tiles_y"])
def write_tiles(
    records,  # [C * N, CHANNELS + channels]
    order,  # [C * N] int64, rows of the records by depth
    starts,  # [C * N + 1] int32, where the tiles of each begin, in that order
    tiles,  # [capacity], written: number of the tile; what no Gaussian writes must exceed all
    owners,  # [capacity] int32, written: row of the record
    listed,  # [capacity + C * N] int32, its end written: all rows by depth
    gaussians,  # C * N
    N,
    capacity,
    width,
    height,
    tiles_x,
    tiles_y,
    channels: tl.constexpr,
    TILE_X: tl.constexpr,
    TILE_Y: tl.constexpr,
    BLOCK: tl.constexpr,
):
    rank = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    place = tl.load(starts + rank, rank < gaussians, 0)
    end = tl.load(starts + rank + 1, rank < gaussians, 0)
    g = tl.load(order + rank, rank < gaussians, 0).to(tl.int32)
    tl.store(listed + capacity + rank, g, rank < gaussians)
    visible = end > place
    # Bounded by what was counted: a rounding that differs here cannot touch the neighbours.
    end = tl.minimum(end, capacity)
    shape = load_shape(records, g, channels, visible)
    first, last = tile_rows(shape, height, TILE_Y)
    rows = tl.where(visible, last - first, 0)
    k, most = 0, tl.max(rows, 0)
    while k < most:
        left, right = tile_columns(shape, first + k, width, TILE_X, TILE_Y)
        columns = tl.where(k < rows, right - left, 0)
        tile = (g // N * tiles_y + first + k) * tiles_x + left
        column, widest = 0, tl.max(columns, 0)
        while column < widest:
            touched = (column < columns) & (place < end)
            tl.store(tiles + place, (tile + column).to(tiles.dtype.element_ty), touched)
            tl.store(owners + place, g, touched)
            place += touched.to(tl.int32)
            column += 1
        k += 1


@triton.jit(do_not_specialize=["gaussians", "capacity"])
def gather(
    order,  # [C * N]
    starts,  # [C * N + 1]
    gradients,  # [capacity, columns], of each place in which a Gaussian wrote a tile
    totals,  # [C * N, columns], written: their sums per Gaussian, unless they did not fit
    gaussians,
    capacity,
    columns: tl.constexpr,
    GAUSSIANS: tl.constexpr,
    PLACES: tl.constexpr,
    COLUMNS: tl.constexpr,  # columns, rounded up to a power of two
):
    rank = tl.program_id(0) * GAUSSIANS + tl.arange(0, GAUSSIANS)
    begin = tl.load(starts + rank, rank < gaussians, 0)
    end = tl.load(starts + rank + 1, rank < gaussians, 0)
    if tl.load(starts + gaussians) <= capacity:
        column = tl.arange(0, COLUMNS)[None, :]
        total = tl.zeros([GAUSSIANS, COLUMNS], tl.float32)
        first, most = 0, tl.max(end - begin, 0)
        while first < most:
            place = begin[:, None] + first + tl.arange(0, PLACES)[None, :]
            inside = (place < end[:, None])[:, :, None] & (column < columns)[None, :, :]
            cell = place[:, :, None] * columns + column[None, :, :]
            total += tl.sum(tl.load(gradients + cell, inside, 0.0), 1)
            first += PLACES
        g = tl.load(order + rank, rank < gaussians, 0)[:, None]
        tl.store(totals + g * columns + column, total, (end > begin)[:, None] & (column < columns))
