"""Pixels of a tile, and the alphas of a Gaussian there: shared by blending and its gradients.

A tile's pixels are a row of planes in one scratch array that stays in the first-level cache. In
each pixel row that a Gaussian reaches, vectors of NARROW pixels begin where it does.

From row to row the exponent of alpha changes by a linear function of the row: so alpha is
multiplied by a ratio, and the ratio by a constant. Two products instead of a power of two.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..constants import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, MIN_WEIGHT
from .projection import CHANNELS, LOG_OPACITY, ROOT_XX, ROOT_XY, ROOT_YY, U, V
from .simd import (
    LOWEST,
    add,
    any_less,
    broadcast_narrow,
    exp2,
    multiply_subtract,
    ramp_narrow,
    select_less,
)
from .tiles import TILE_X, TILE_Y

PIXELS = TILE_X * TILE_Y
STEP = PIXELS + 48  # from plane to plane: at a power of two, processors mistake one for another
GROUP = 4  # channels that are blended in one pass: red, green, blue and depth
NEVER = np.float32(1e9)

ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)
SMALLEST = np.float32(MIN_ALPHA)
LARGEST = np.float32(MAX_ALPHA)
OPAQUE = np.float32(MIN_TRANSMITTANCE)
LEAST = np.float32(MIN_WEIGHT)
FAINT = np.float32(LOWEST)  # exponents below this one are not distinguished

# Planes of the scratch array: transmittance, 0 where the pixel is finished, what it was then, index
# of the Gaussian that finished it, three that only the gradients need, and the channels.
PLANES = 6
TRANSMITTANCE, FINAL, STOP, WEIGHT, BEHIND, INNER = (k * STEP for k in range(PLANES))
PLANE0, PLANE1, PLANE2, PLANE3 = ((PLANES + k) * STEP for k in range(GROUP))


@njit(cache=True, error_model="numpy")
def new_scratch(channels):
    return np.zeros((PLANES + channels) * STEP, np.float32)


@njit(cache=True, error_model="numpy")
def tile_place(tile, C, width, tiles):
    """Camera of a tile, and the column and row of its first pixel."""
    tiles_x, tiles_per_camera = -(-width // TILE_X), tiles // C
    camera, place = tile // tiles_per_camera, tile % tiles_per_camera
    return camera, place % tiles_x * TILE_X, place // tiles_x * TILE_Y


@njit(cache=True, error_model="numpy")
def at_tile(records, g, left, top):
    """A Gaussian at a tile's pixels: p_0, p_x, p_y, q_0, q_y and log_opacity, where its alpha is
    2^(log_opacity - p^2 - q^2) with p = p_0 + p_x x + p_y y and q = q_0 + q_y y; the ratio of the
    ratios of two rows; and its first GROUP channels."""
    p_x, p_y, q_y = records[g, ROOT_XX], records[g, ROOT_XY], records[g, ROOT_YY]
    u, v = records[g, U] - np.float32(left) - HALF, records[g, V] - np.float32(top) - HALF
    shape = -(p_x * u + p_y * v), p_x, p_y, -q_y * v, q_y, records[g, LOG_OPACITY]
    c0, c1 = records[g, CHANNELS], records[g, CHANNELS + 1]
    c2, c3 = records[g, CHANNELS + 2], records[g, CHANNELS + 3]
    curvature = exp2(broadcast_narrow(np.float32(-2) * (p_y * p_y + q_y * q_y)))
    return shape, curvature, (c0, c1, c2, c3)


@njit(cache=True, error_model="numpy")
def alphas_from(shape, x, row, last):
    """p, q and alpha at NARROW pixels of a row, from x on; the ratio of the next row's alpha to it;
    and the row until which both can be continued: the next one where alphas are too small to be.
    """
    p_0, p_x, p_y, q_0, q_y, log_opacity = shape
    y = np.float32(row)
    p, q = add(ramp_narrow(p_x), p_0 + p_x * np.float32(x) + p_y * y), q_0 + q_y * y
    exponent = multiply_subtract(multiply_subtract(broadcast_narrow(log_opacity), q, q), p, p)
    change = multiply_subtract(broadcast_narrow(-p_y * p_y - q_y * (q + q + q_y)), p, p_y + p_y)
    until = row + 1 if any_less(exponent, FAINT) else last
    return p, q, exp2(exponent), exp2(change), until


@njit(cache=True, error_model="numpy")
def drawn(raw):
    """Alpha clamped to LARGEST, 0 where it is too small to be drawn."""
    alpha = select_less(raw, LARGEST, raw, LARGEST)
    return select_less(alpha, SMALLEST, ZERO, alpha)
