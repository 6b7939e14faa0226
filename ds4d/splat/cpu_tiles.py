"""Kernels that list, for each tile of each image, the Gaussians that touch it, near to far."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from .cpu_projection import CENTRE_X, CENTRE_Y, HALF_HEIGHT, RIGHTMOST, SLOPE, WIDTH

TILE = 16  # pixels, width and height
RADIX = 1 << 11  # three digits make a 32-bit key


# Strict arithmetic (no fastmath): counting and filling must come to the same tiles.
@njit(cache=True, error_model="numpy")
def _tile_rows(ellipse, tiles_y):
    """The tile rows [first, last) with a pixel centre between the ellipse's top and bottom."""
    if ellipse[HALF_HEIGHT] < 0:
        return 0, 0
    top = math.ceil(max(ellipse[CENTRE_Y] - ellipse[HALF_HEIGHT] - 0.5, 0.0))
    bottom = math.floor(min(ellipse[CENTRE_Y] + ellipse[HALF_HEIGHT] - 0.5, TILE * tiles_y - 1.0))
    if bottom < top:
        return 0, 0
    return int(top) // TILE, int(bottom) // TILE + 1


@njit(cache=True, error_model="numpy")
def _tile_columns(ellipse, row, tiles_x):
    """The tile columns [first, last) where the ellipse covers pixel centres of the tile row."""
    half_height = ellipse[HALF_HEIGHT]
    top = max(row * TILE + 0.5 - ellipse[CENTRE_Y], -half_height)
    bottom = min(row * TILE + TILE - 0.5 - ellipse[CENTRE_Y], half_height)
    # Both sides are concave in dy: the extreme inside the band is the clamped extreme point.
    dy = min(max(ellipse[RIGHTMOST], top), bottom)
    reach = ellipse[WIDTH] * math.sqrt(max(half_height * half_height - dy * dy, 0.0))
    right = ellipse[CENTRE_X] + ellipse[SLOPE] * dy + reach
    dy = min(max(-ellipse[RIGHTMOST], top), bottom)
    reach = ellipse[WIDTH] * math.sqrt(max(half_height * half_height - dy * dy, 0.0))
    left = ellipse[CENTRE_X] + ellipse[SLOPE] * dy - reach
    first = math.ceil(max(left - 0.5, 0.0))
    last = math.floor(min(right - 0.5, TILE * tiles_x - 1.0))
    if last < first:
        return 0, 0
    return int(first) // TILE, int(last) // TILE + 1


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


@njit(cache=True, parallel=True, error_model="numpy")
def list_tiles(
    ellipses,  # [C * N, 6]
    depth_keys,  # [C * N] uint32, bits of the (positive) depths
    C,
    tiles_x,
    tiles_y,
):
    """Lists every intersection of a Gaussian and a tile twice over.

    tile_starts [C * tiles + 1], gaussians [intersections]: by tile, in it by depth;
    starts [C * N + 1], places [intersections]: the place of each of them in a listing by Gaussian.
    """
    N, tiles = len(ellipses) // C, tiles_x * tiles_y
    starts = np.zeros(C * N + 1, np.int64)
    tile_starts = np.zeros(C * tiles + 1, np.int64)
    for camera in prange(C):
        for g in range(camera * N, camera * N + N):
            first, last = _tile_rows(ellipses[g], tiles_y)
            for row in range(first, last):
                left, right = _tile_columns(ellipses[g], row, tiles_x)
                starts[g + 1] += right - left
                for column in range(left, right):
                    tile_starts[camera * tiles + row * tiles_x + column + 1] += 1
    for g in range(C * N):
        starts[g + 1] += starts[g]
    for tile in range(C * tiles):
        tile_starts[tile + 1] += tile_starts[tile]

    gaussians = np.empty(starts[-1], np.int32)
    places = np.empty(starts[-1], np.int32)
    for camera in prange(C):
        ends = tile_starts[camera * tiles : camera * tiles + tiles].copy()
        order = _sorted_by_key(depth_keys[camera * N : camera * N + N])
        for n in order:
            g = camera * N + n
            place = starts[g]
            first, last = _tile_rows(ellipses[g], tiles_y)
            for row in range(first, last):
                left, right = _tile_columns(ellipses[g], row, tiles_x)
                for column in range(left, right):
                    tile = row * tiles_x + column
                    gaussians[ends[tile]] = g
                    places[ends[tile]] = place
                    ends[tile] += 1
                    place += 1
    return tile_starts, gaussians, starts, places
