"""Procedural patterns of the parts, in each part's own axes (numba).

tracer.py's compiled kernels contain these: after a change here, delete examples/__pycache__.
"""

from __future__ import annotations

import math

from numba import njit

fast = {"cache": True, "fastmath": True}


@njit(**fast)
def pattern_mix(pattern, scale, x, y, z):
    """Share of the part's second colour in [0, 1], and a factor on the whole (ink, mottling).

    pattern counts in the order of parts.PATTERNS; scale means, in that order: (plain: nothing);
    stripes: their period along z; ribs: how many around z; spots: size of the cells that hold one
    each; belly: cosine off the -y axis where color2 begins; (iris: nothing); bricks, tiles: height
    of a course.
    """
    mix, ink = 0.0, 1.0
    ahead = -y / max(math.sqrt(x * x + y * y + z * z), 1e-9)
    if pattern == 1:
        mix = step(-0.15, 0.15, math.sin(2 * math.pi * z / scale))
    elif pattern == 2:
        mix = step(0.55, 0.95, math.cos(scale * math.atan2(y, x)))
    elif pattern == 3:
        mix = spots(x / scale, y / scale, z / scale)
    elif pattern == 4:
        mix = step(scale - 0.04, scale + 0.04, ahead)
    elif pattern == 5:
        mix = step(0.70, 0.73, ahead)
        rim = mix * (1 - step(0.73, 0.77, ahead))
        ink = (1 - 0.97 * step(0.845, 0.865, ahead)) * (1 - 0.5 * rim)
    elif pattern == 6:
        mix = bricks(math.atan2(y, x) * 0.15 / scale, z / scale)
    elif pattern == 7:
        mix = tiles(math.atan2(y, x) * 0.11 / scale, z / scale)
    coarse, fine = noise(38 * x, 38 * y, 38 * z), noise(110 * x, 110 * y, 110 * z)
    return mix, ink * (1 + 0.10 * (coarse - 0.5) + 0.08 * (fine - 0.5))


@njit(**fast)
def step(low, high, x):
    """0 below low, 1 above high, smooth in between."""
    x = min(max((x - low) / (high - low), 0.0), 1.0)
    return x * x * (3 - 2 * x)


@njit(**fast)
def chance(i, j, k):
    """A number in [0, 1) that depends on a lattice point alone."""
    h = (int(i) * 374761393 + int(j) * 668265263 + int(k) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1103515245) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65536


@njit(**fast)
def noise(x, y, z):
    """Value noise in [0, 1], one lattice cell per unit."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = step(0.0, 1.0, x - i), step(0.0, 1.0, y - j), step(0.0, 1.0, z - k)
    total = 0.0
    for corner in range(8):
        a, b, c = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = (u if a else 1 - u) * (v if b else 1 - v) * (w if c else 1 - w)
        total += weight * chance(i + a, j + b, k + c)
    return total


@njit(**fast)
def spots(x, y, z):
    """1 inside round spots of several sizes, one to a lattice cell at most."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    most = 0.0
    for n in range(27):
        a, b, c = i + n % 3 - 1, j + n // 3 % 3 - 1, k + n // 9 - 1
        px = a + 0.25 + 0.5 * chance(a, b, c) - x
        py = b + 0.25 + 0.5 * chance(a + 91, b, c) - y
        pz = c + 0.25 + 0.5 * chance(a, b + 57, c) - z
        radius = 0.46 * chance(a, b, c + 33)
        most = max(most, step(-0.05, 0.05, radius - math.sqrt(px * px + py * py + pz * pz)))
    return most


@njit(**fast)
def bricks(u, v):
    """1 in the joints of a brick wall; a few bricks are tinted."""
    course = math.floor(v)
    u = u / 2 + 0.5 * (course % 2)
    brick = math.floor(u)
    joint = min(min(u - brick, brick + 1 - u) * 2, min(v - course, course + 1 - v))
    return max(1 - step(0.03, 0.10, joint), 0.45 * chance(brick, course, 7) ** 2)


@njit(**fast)
def tiles(u, v):
    """1 in the shadow under rows of round tiles."""
    course = math.floor(v)
    u += 0.5 * (course % 2)
    across, down = 2 * (u - math.floor(u)) - 1, v - course
    edge = down - 0.42 * across * across
    return 0.75 * (1 - step(0.0, 0.22, edge)) if edge > 0 else 0.35
