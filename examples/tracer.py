"""A small deterministic sphere tracer for objects made of parts, on all cores (numba).

The object is one signed distance field: parts joined in order by polynomial smooth unions, which
reach no further than the parts' blends, so that parts far from a point or a ray are left out
without changing the picture. Light stands still in the world: a warm key with a soft shadow from
the front's upper left, a cool sky, a bounce from below and a light from behind.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from ds4d.cameras import Cameras
from examples.parts import PATTERNS, SHAPES, Part, linear_rgb, reach
from examples.patterns import pattern_mix
from examples.shapes import (
    box_distance,
    cone_distance,
    ellipsoid_distance,
    limb_distance,
    ring_distance,
)

# Columns of a packed object, one row per part
SHAPE, CENTRE, INVERSE, SHRINK, SIZE, BLEND, BOUND, REACH = 0, 1, 4, 13, 14, 18, 19, 20
PATTERN, SCALE, COLOR, COLOR2, GLOSS, GLOW, COLUMNS = 21, 22, 23, 26, 29, 30, 31

KEY = (-0.42, -0.62, 0.66)  # direction towards the key light, unit length
BACK = (0.45, 0.82, 0.35)
fast = {"cache": True, "fastmath": True}


def render(parts: list[Part], cameras: Cameras, samples: int = 2) -> np.ndarray:
    """RGBA images [C, H, W, 4] uint8, straight alpha.

    One ray for each pixel, and samples x samples where the picture changes between neighbours.
    """
    table = pack(parts)
    viewmats = cameras.viewmats.numpy().astype(np.float32)
    Ks = cameras.Ks.numpy().astype(np.float32)
    images = np.zeros((len(cameras), cameras.height, cameras.width, 4), np.float32)
    for image, viewmat, K in zip(images, viewmats, Ks, strict=True):
        trace(table, viewmat, K, 1, np.ones(image.shape[:2], np.bool_), image)
        if samples > 1:
            trace(table, viewmat, K, samples, uneven(image), image)
    return encoded(images)


def uneven(image: np.ndarray) -> np.ndarray:
    """Pixels [H, W] that differ visibly from a neighbour in an image [H, W, 4]."""
    marked = np.zeros(image.shape[:2], np.bool_)
    across = (np.abs(np.diff(image, axis=1)) > 0.05).any(axis=-1)
    down = (np.abs(np.diff(image, axis=0)) > 0.05).any(axis=-1)
    marked[:, 1:] |= across
    marked[:, :-1] |= across
    marked[1:] |= down
    marked[:-1] |= down
    return marked


def encoded(images: np.ndarray) -> np.ndarray:
    """Linear light and coverage [..., 4] to sRGB with straight alpha, uint8."""
    rgb = np.clip(images[..., :3], 0, None)
    rgb = rgb / (1 + rgb / 6) * (7 / 6)  # a soft shoulder: highlights keep their colour
    power = 1.055 * np.maximum(rgb, 1e-8) ** (1 / 2.4) - 0.055
    srgb = np.where(rgb <= 0.0031308, 12.92 * rgb, power)
    rgba = np.concatenate([srgb, images[..., 3:]], axis=-1)
    return np.rint(np.clip(rgba, 0, 1) * 255).astype(np.uint8)


def pack(parts: list[Part]) -> np.ndarray:
    """Pack parts into a table [P, COLUMNS] float32, one row per part in the order of blending."""
    table = np.zeros((len(parts), COLUMNS), np.float32)
    for row, part in zip(table, parts, strict=True):
        linear = np.asarray(part.linear, dtype=float)
        stretch = np.linalg.svd(linear, compute_uv=False)
        row[SHAPE] = SHAPES.index(part.shape)
        row[CENTRE : CENTRE + 3] = part.centre
        row[INVERSE : INVERSE + 9] = np.linalg.inv(linear).ravel()
        row[SHRINK] = stretch[-1]  # own distances, scaled by it, never overshoot in the world
        row[SIZE : SIZE + 4] = part.size
        row[BLEND], row[BOUND] = part.blend, reach(part) * stretch[0]
        row[PATTERN], row[SCALE] = PATTERNS.index(part.pattern), part.scale
        row[COLOR : COLOR + 3] = linear_rgb(part.color)
        row[COLOR2 : COLOR2 + 3] = linear_rgb(part.color2)
        row[GLOSS], row[GLOW] = part.gloss, part.glow
    table[:, REACH] = table[:, BOUND] + table[:, BLEND].max()  # any later part may blend with it
    return table


@njit(parallel=True, cache=True, fastmath=True)
def trace(table, viewmat, K, samples, wanted, image):
    """Fill the wanted [H, W] of image [H, W, 4]: mean colour of the rays that hit, their share."""
    height, width = image.shape[0], image.shape[1]
    rotation = np.ascontiguousarray(viewmat[:3, :3])
    ox, oy, oz = -(rotation.T @ np.ascontiguousarray(viewmat[:3, 3]))
    for y in prange(height):
        near = np.empty(len(table), np.int64)
        for x in range(width):
            if not wanted[y, x]:
                continue
            hits, r, g, b = 0, 0.0, 0.0, 0.0
            lit_at, open_, key = -1.0, 0.0, 0.0
            for k in range(samples * samples):
                u = (x + (k % samples + 0.5) / samples - K[0, 2]) / K[0, 0]
                v = (y + (k // samples + 0.5) / samples - K[1, 2]) / K[1, 1]
                n = 1 / math.sqrt(u * u + v * v + 1)
                dx = (rotation[0, 0] * u + rotation[1, 0] * v + rotation[2, 0]) * n
                dy = (rotation[0, 1] * u + rotation[1, 1] * v + rotation[2, 1]) * n
                dz = (rotation[0, 2] * u + rotation[1, 2] * v + rotation[2, 2]) * n
                t = march(table, near, ox, oy, oz, dx, dy, dz)
                if t > 0:
                    p, q, s = ox + t * dx, oy + t * dy, oz + t * dz
                    if abs(t - lit_at) > 0.01:  # light is smooth: once for each surface in a pixel
                        open_, key = light(table, near, p, q, s)
                        lit_at = t
                    color = shade(table, near, p, q, s, dx, dy, dz, open_, key)
                    hits, r, g, b = hits + 1, r + color[0], g + color[1], b + color[2]
            n = max(hits, 1)
            image[y, x, 0], image[y, x, 1], image[y, x, 2] = r / n, g / n, b / n
            image[y, x, 3] = hits / (samples * samples)


@njit(**fast)
def along(table, near, ox, oy, oz, dx, dy, dz):
    """Parts that can touch the ray, listed in near[:count], and the stretch that holds them."""
    count, start, end = 0, 1e9, -1e9
    for i in range(len(table)):
        px, py, pz = table[i, CENTRE] - ox, table[i, CENTRE + 1] - oy, table[i, CENTRE + 2] - oz
        middle = px * dx + py * dy + pz * dz
        bound = table[i, REACH]
        square = bound * bound - (px * px + py * py + pz * pz - middle * middle)
        if square > 0:
            half = math.sqrt(square)
            near[count] = i
            count += 1
            start, end = min(start, middle - half), max(end, middle + half)
    return count, start, end


@njit(**fast)
def around(table, near, x, y, z, radius):
    """Parts that can be felt within the radius of a point, listed in near[:count]."""
    count = 0
    for i in range(len(table)):
        px, py, pz = table[i, CENTRE] - x, table[i, CENTRE + 1] - y, table[i, CENTRE + 2] - z
        bound = table[i, REACH] + radius
        if px * px + py * py + pz * pz < bound * bound:
            near[count] = i
            count += 1
    return count


@njit(**fast)
def march(table, near, ox, oy, oz, dx, dy, dz):
    """Distance along the ray to the surface, or -1. `near` [P] is scratch."""
    count, t, end = along(table, near, ox, oy, oz, dx, dy, dz)
    for _ in range(160):
        if t > end or count == 0:
            return -1.0
        d = distance(table, near, count, ox + t * dx, oy + t * dy, oz + t * dz)
        if d < 2e-4:
            return t
        t += 0.85 * d
    return -1.0


@njit(**fast)
def distance(table, near, count, x, y, z):
    """Signed distance to the parts near[:count], a lower bound outside."""
    d = 1e3
    for j in range(count):
        row = table[near[j]]
        e = one_distance(row, x, y, z, d)
        d = smooth(d, e, row[BLEND])[0]
    return d


@njit(**fast)
def smooth(a, b, k):
    """Smooth minimum (quadratic, exact where |a - b| >= k) and the weight of b in it."""
    if k <= 0:
        return (b, 1.0) if b < a else (a, 0.0)
    h = min(max(0.5 + 0.5 * (a - b) / k, 0.0), 1.0)
    return a + (b - a) * h - k * h * (1 - h), h


@njit(**fast)
def local(row, x, y, z):
    """A world point in the part's own axes."""
    x, y, z = x - row[CENTRE], y - row[CENTRE + 1], z - row[CENTRE + 2]
    return (
        row[INVERSE] * x + row[INVERSE + 1] * y + row[INVERSE + 2] * z,
        row[INVERSE + 3] * x + row[INVERSE + 4] * y + row[INVERSE + 5] * z,
        row[INVERSE + 6] * x + row[INVERSE + 7] * y + row[INVERSE + 8] * z,
    )


@njit(**fast)
def one_distance(row, x, y, z, d):
    """Distance to one part; only a lower bound where the part cannot change the union d."""
    px, py, pz = x - row[CENTRE], y - row[CENTRE + 1], z - row[CENTRE + 2]
    least = math.sqrt(px * px + py * py + pz * pz) - row[BOUND]
    if least > d + row[BLEND]:
        return least
    x, y, z = local(row, x, y, z)
    a, b, c, r = row[SIZE], row[SIZE + 1], row[SIZE + 2], row[SIZE + 3]
    shape = int(row[SHAPE])
    if shape == 0:
        e = ellipsoid_distance(x, y, z, a, b, c, r)
    elif shape == 1:
        e = limb_distance(math.sqrt(x * x + y * y), z + a / 2, a, b, c)
    elif shape == 2:
        e = box_distance(x, y, z, a, b, c, r)
    elif shape == 3:
        e = cone_distance(math.sqrt(x * x + y * y), z, a, b, c) - r
    else:
        e = ring_distance(abs(x), y, -z, a, b, c)
    return e * row[SHRINK]


@njit(**fast)
def light(table, near, x, y, z):
    """Shares in [0, 1] of the ambient and of the key light that reach a surface point."""
    count = around(table, near, x, y, z, 0.1)
    nx, ny, nz = normal(table, near, count, x, y, z)
    x, y, z = x + 1e-3 * nx, y + 1e-3 * ny, z + 1e-3 * nz
    open_ = openness(table, near, count, x, y, z, nx, ny, nz)
    if nx * KEY[0] + ny * KEY[1] + nz * KEY[2] < -0.1:
        return open_, 0.0
    return open_, unshadowed(table, near, x, y, z)


@njit(**fast)
def shade(table, near, x, y, z, dx, dy, dz, open_, key):
    """Linear colour of a surface point seen along (dx, dy, dz), under `light`'s two shares."""
    count = around(table, near, x, y, z, 0.002)
    nx, ny, nz = normal(table, near, count, x, y, z)
    r, g, b, gloss, glow = surface(table, near, count, x, y, z)
    key *= max(nx * KEY[0] + ny * KEY[1] + nz * KEY[2], 0.0)
    back = max(nx * BACK[0] + ny * BACK[1] + nz * BACK[2], 0.0)
    sky, ground = 0.5 + 0.5 * nz, 0.5 - 0.5 * nz
    facing = max(-(nx * dx + ny * dy + nz * dz), 0.0)
    hx, hy, hz = KEY[0] - dx, KEY[1] - dy, KEY[2] - dz
    half = max((nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz), 0.0)
    shine = gloss * (key * half**60 + 0.12 * (1 - facing) ** 4 * sky * open_)
    dim = (1 - glow) * open_
    lr = (1 - glow) * 1.55 * key + dim * (0.36 * sky + 0.24 * ground + 0.62 * back) + glow
    lg = (1 - glow) * 1.42 * key + dim * (0.42 * sky + 0.20 * ground + 0.66 * back) + glow
    lb = (1 - glow) * 1.22 * key + dim * (0.52 * sky + 0.16 * ground + 0.74 * back) + glow
    return r * lr + shine, g * lg + shine, b * lb + shine


@njit(**fast)
def normal(table, near, count, x, y, z):
    """Gradient of the field, from the four corners of a tetrahedron."""
    h = 8e-4
    a = distance(table, near, count, x + h, y - h, z - h)
    b = distance(table, near, count, x - h, y - h, z + h)
    c = distance(table, near, count, x - h, y + h, z - h)
    d = distance(table, near, count, x + h, y + h, z + h)
    nx, ny, nz = a - b - c + d, -a - b + c + d, -a + b - c + d
    n = 1 / max(math.sqrt(nx * nx + ny * ny + nz * nz), 1e-12)
    return nx * n, ny * n, nz * n


@njit(**fast)
def openness(table, near, count, x, y, z, nx, ny, nz):
    """Ambient light that reaches the point, 0 to 1: how fast the field grows along the normal."""
    shut, weight = 0.0, 1.0
    for i in range(1, 6):
        h = 0.016 * i
        d = distance(table, near, count, x + h * nx, y + h * ny, z + h * nz)
        shut += weight * max(h - d, 0.0)
        weight *= 0.8
    return max(1 - 5.5 * shut, 0.15)


@njit(**fast)
def unshadowed(table, near, x, y, z):
    """Key light that reaches the point, 0 to 1, with a soft edge."""
    count, _, end = along(table, near, x, y, z, KEY[0], KEY[1], KEY[2])
    share, t = 1.0, 0.012
    while t < end and share > 0:
        d = distance(table, near, count, x + t * KEY[0], y + t * KEY[1], z + t * KEY[2])
        share = min(share, 0.5 + 0.5 * d / (0.09 * t))
        t += min(max(d, 0.008), 0.08)
    share = max(share, 0.0)
    return share * share * (3 - 2 * share)


@njit(**fast)
def surface(table, near, count, x, y, z):
    """Colour, gloss and glow at a surface point: the parts' paints, mixed as the shapes are."""
    d, r, g, b, gloss, glow = 1e3, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(count):
        row = table[near[j]]
        e = one_distance(row, x, y, z, d)
        d, w = smooth(d, e, row[BLEND])
        if w > 0:
            cr, cg, cb = paint(row, x, y, z)
            r, g, b = r + (cr - r) * w, g + (cg - g) * w, b + (cb - b) * w
            gloss += (row[GLOSS] - gloss) * w
            glow += (row[GLOW] - glow) * w
    return r, g, b, gloss, glow


@njit(**fast)
def paint(row, x, y, z):
    """Linear colour of one part: its pattern in its own axes."""
    x, y, z = local(row, x, y, z)
    mix, ink = pattern_mix(int(row[PATTERN]), row[SCALE], x, y, z)
    return (
        ink * (row[COLOR] + (row[COLOR2] - row[COLOR]) * mix),
        ink * (row[COLOR + 1] + (row[COLOR2 + 1] - row[COLOR + 1]) * mix),
        ink * (row[COLOR + 2] + (row[COLOR2 + 2] - row[COLOR + 2]) * mix),
    )
