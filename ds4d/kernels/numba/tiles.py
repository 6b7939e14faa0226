"""Kernels that list, for each tile of each image, the Gaussians that touch it, near to far."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from .projection import CENTRE, COLUMNS, EXTREME, HALF, ROWS, SLOPE, WIDTH
from .simd import LOOPS, NARROW

TILE_X, TILE_Y = 64, 16  # pixels
RADIX = 1 << 11  # three digits make a 32-bit key


# Strict arithmetic (no fastmath): counting and filling must come to the same tiles.
@njit(cache=True, error_model="numpy")
def _pixels_between(low, high, size):
    """First and last + 1 of the pixels whose centres lie in [low, high] and in an image's size."""
    first = math.ceil(max(low - 0.5, 0.0))
    last = math.floor(min(high - 0.5, size - 1.0))
    return (first, last + 1) if first <= last else (0, 0)


@njit(cache=True, error_model="numpy")
def _span(ellipse, kind, low, high):
    """The ellipse's extent in x where its dy lies in [low, high]; with COLUMNS, in y over dx."""
    half, slope = ellipse[kind + HALF], ellipse[kind + SLOPE]
    low, high = max(low, -half), min(high, half)
    # Both sides are concave: the extreme inside the band is the clamped extreme of the whole.
    at = min(max(ellipse[kind + EXTREME], low), high)
    upper = slope * at + ellipse[kind + WIDTH] * math.sqrt(max(half * half - at * at, 0.0))
    at = min(max(-ellipse[kind + EXTREME], low), high)
    lower = slope * at - ellipse[kind + WIDTH] * math.sqrt(max(half * half - at * at, 0.0))
    return lower, upper


@njit(cache=True, error_model="numpy")
def _tile_rows(ellipse, tiles_y):
    """The tile rows [first, last) with a pixel centre between the ellipse's top and bottom."""
    y, half = ellipse[CENTRE + 1], ellipse[ROWS + HALF]
    if half < 0:
        return 0, 0
    first, last = _pixels_between(y - half, y + half, tiles_y * TILE_Y)
    return first // TILE_Y, (last + TILE_Y - 1) // TILE_Y


@njit(cache=True, error_model="numpy")
def _pixel_columns(ellipse, row, tiles_x):
    """The pixel columns [first, last) of the image that the ellipse covers in a tile row."""
    x, y = ellipse[CENTRE], ellipse[CENTRE + 1] - row * TILE_Y
    left, right = _span(ellipse, ROWS, 0.5 - y, TILE_Y - 0.5 - y)
    return _pixels_between(x + left, x + right, tiles_x * TILE_X)


@njit(cache=True, error_model="numpy")
def _tile_columns(first, last):
    """The tile columns [first, last) of pixel columns."""
    return first // TILE_X, (last + TILE_X - 1) // TILE_X


@njit(cache=True, error_model="numpy")
def _in_tile(first, last, column):
    """A range of whole vectors inside a tile that covers the pixel columns [first, last)."""
    first, last = max(first - column * TILE_X, 0), min(last - column * TILE_X, TILE_X)
    length = (last - first + NARROW - 1) // NARROW * NARROW
    first = min(first, TILE_X - length)
    return first, first + length


@njit(cache=True, error_model="numpy")
def _pixel_rows(ellipse, row, column):
    """The pixel rows [first, last) of a tile that the ellipse reaches."""
    x, y = ellipse[CENTRE] - column * TILE_X, ellipse[CENTRE + 1] - row * TILE_Y
    top, bottom = _span(ellipse, COLUMNS, 0.5 - x, TILE_X - 0.5 - x)
    return _pixels_between(y + top, y + bottom, TILE_Y)


@njit(cache=True, error_model="numpy")
def _sorted_by_key(keys):
    """Order of the keys (uint32), ascending and stable: a radix sort of three digits."""
    order, other = np.arange(len(keys)), np.empty(len(keys), np.int64)
    for digit in range(3):
        counts = np.zeros(RADIX + 1, np.int64)
        shift = np.uint32(11 * digit)
        for key in keys:
            counts[((key >> shift) & np.uint32(RADIX - 1)) + 1] += 1
        for i in range(RADIX):
            counts[i + 1] += counts[i]
        for i in order:
            slot = (keys[i] >> shift) & np.uint32(RADIX - 1)
            other[counts[slot]] = i
            counts[slot] += 1
        order, other = other, order
    return order


@njit(cache=True, error_model="numpy", inline="always")
def _numbers(ellipses, g):
    """One ellipse as a tuple: a view of its row would be counted, atomically, by every core."""
    e = ellipses
    return (
        e[g, 0], e[g, 1], e[g, 2], e[g, 3], e[g, 4], e[g, 5], e[g, 6], e[g, 7], e[g, 8], e[g, 9]
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _count(ellipses, camera, C, tiles_x, tiles_y, starts, tile_starts):
    """Count a camera's intersections per Gaussian and per tile, each one place further on."""
    N, first_tile = len(ellipses) // C, camera * tiles_x * tiles_y
    for g in range(camera * N, camera * N + N):
        ellipse = _numbers(ellipses, g)
        first, last = _tile_rows(ellipse, tiles_y)
        for row in range(first, last):
            left, right = _tile_columns(*_pixel_columns(ellipse, row, tiles_x))
            starts[g + 1] += right - left
            for column in range(left, right):
                tile_starts[first_tile + row * tiles_x + column + 1] += 1


@njit(cache=True, error_model="numpy")
def _accumulate(counts):
    for i in range(len(counts) - 1):
        counts[i + 1] += counts[i]


@njit(cache=True, error_model="numpy")
def _fill(ellipses, camera, order, tiles_x, tiles_y, starts, ends, gaussians, bounds, places):
    """Append a camera's Gaussians, in their order, to the tiles that they touch."""
    for n in order:
        g = camera * len(order) + n
        place = starts[g]
        ellipse = _numbers(ellipses, g)
        first, last = _tile_rows(ellipse, tiles_y)
        for row in range(first, last):
            first_pixel, last_pixel = _pixel_columns(ellipse, row, tiles_x)
            left, right = _tile_columns(first_pixel, last_pixel)
            for column in range(left, right):
                i = ends[row * tiles_x + column]
                gaussians[i], places[i] = g, place
                bounds[i, 0], bounds[i, 1] = _pixel_rows(ellipse, row, column)
                bounds[i, 2], bounds[i, 3] = _in_tile(first_pixel, last_pixel, column)
                ends[row * tiles_x + column] += 1
                place += 1


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def list_tiles(
    ellipses,  # [C * N, 10]
    depth_keys,  # [C * N] uint32, bits of the (positive) depths
    C,
    tiles_x,
    tiles_y,
):
    """List the intersections of Gaussians and tiles, by tile and in it by depth.

    tile_starts [C * tiles + 1]: where each tile's part of the list begins; for each intersection,
    gaussians: its row in the records, bounds [.., 4]: the first and last + 1 of the tile's pixel
    rows and columns (in whole vectors) that it reaches, places: its place in a second listing by
    Gaussian, whose parts begin at starts [C * N + 1].
    """
    N, tiles = len(ellipses) // C, tiles_x * tiles_y
    starts = np.zeros(C * N + 1, np.int64)
    tile_starts = np.zeros(C * tiles + 1, np.int64)
    for camera in prange(C):
        _count(ellipses, camera, C, tiles_x, tiles_y, starts, tile_starts)
    _accumulate(starts)
    _accumulate(tile_starts)
    gaussians = np.empty(starts[-1], np.int32)
    bounds = np.empty((starts[-1], 4), np.int32)
    places = np.empty(starts[-1], np.int32)
    for camera in prange(C):
        order = _sorted_by_key(depth_keys[camera * N : camera * N + N])
        ends = tile_starts[camera * tiles : camera * tiles + tiles].copy()
        _fill(ellipses, camera, order, tiles_x, tiles_y, starts, ends, gaussians, bounds, places)
    return tile_starts, gaussians, bounds, starts, places
