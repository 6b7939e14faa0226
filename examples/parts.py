"""Parts of an object: soft solids that are moved, blended and patterned.

An object is a function of time in [0, 1) that returns a list of `Part`s; its motion loops: time 1
is time 0 again. World as in ds4d.cameras: +Z up, +X to the right of the front image, -Y towards the
front camera; the object stays inside the sphere of radius 0.5 at the origin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

SHAPES = ("ellipsoid", "limb", "box", "cone", "ring")
PATTERNS = ("plain", "stripes", "ribs", "spots", "belly", "iris", "bricks", "tiles")
Vector = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Part:
    """One solid: a shape about its own origin, placed by an affine map, with its paint.

    size, by shape (lengths in world units before `linear`):
    ellipsoid: the three half axes, and the depth of ribs around z (0 = smooth);
    limb: length along z, radius at the -z end, radius at the +z end (a rounded cone);
    box: the three half sides, rounding included, and the rounding;
    cone: half height along z, radius at -z, radius at +z, rounding added to all sides;
    ring: radius in the xz plane, tube radius, half opening angle (pi = closed) about -z.
    """

    shape: str
    size: Vector
    centre: Vector = (0.0, 0.0, 0.0)
    linear: Vector = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))  # own axes to world
    color: str = "#ffffff"
    color2: str = "#000000"  # the pattern's other colour
    pattern: str = "plain"
    scale: float = 0.1  # of the pattern: see patterns.pattern_mix
    blend: float = 0.0  # reach of the smooth union with the parts before it, world units
    gloss: float = 0.25  # strength of the highlight
    glow: float = 0.0  # share of the colour that needs no light


def moved(parts: Iterable[Part], by: Vector) -> list[Part]:
    """The parts, shifted."""
    return [replace(part, centre=np.add(part.centre, by)) for part in parts]


def mapped(parts: Iterable[Part], matrix: np.ndarray, about: Vector = (0, 0, 0)) -> list[Part]:
    """The parts under a linear map [3, 3] (a turn, a squash) that keeps the point `about`."""
    about = np.asarray(about, dtype=float)
    return [
        replace(
            part,
            centre=about + matrix @ (np.asarray(part.centre) - about),
            linear=matrix @ np.asarray(part.linear),
        )
        for part in parts
    ]


def turn(axis: str, degrees: float) -> np.ndarray:
    """Rotation [3, 3] about a world axis, counter-clockwise when the axis points at the viewer."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i = "xyz".index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    matrix = np.eye(3)
    matrix[j, j], matrix[j, k], matrix[k, j], matrix[k, k] = c, -s, s, c
    return matrix


def squash(height: float) -> np.ndarray:
    """Scale z by `height` and keep the volume [3, 3]."""
    return np.diag([height**-0.5, height**-0.5, height])


def ellipsoid(centre: Vector, half_axes: Vector, ribs: float = 0.0, **paint) -> Part:
    return Part("ellipsoid", (*half_axes, ribs), centre, **paint)


def ball(centre: Vector, radius: float, **paint) -> Part:
    return ellipsoid(centre, (radius, radius, radius), **paint)


def limb(start: Vector, end: Vector, start_radius: float, end_radius: float, **paint) -> Part:
    """A rounded cone from one point to another; its own z axis runs along it, -y mostly front."""
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    length = float(np.linalg.norm(end - start))
    z = (end - start) / length
    helper = np.array([0.0, 1.0, 0.0]) if abs(z[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
    x = np.cross(helper, z)
    x /= np.linalg.norm(x)
    linear = np.stack([x, np.cross(z, x), z], axis=1)
    return Part("limb", (length, start_radius, end_radius, 0), (start + end) / 2, linear, **paint)


def box(centre: Vector, half_sides: Vector, rounding: float = 0.01, **paint) -> Part:
    return Part("box", (*half_sides, rounding), centre, **paint)


def cone(
    centre: Vector, half_height: float, bottom: float, top: float, rounding=0.01, **paint
) -> Part:
    return Part("cone", (half_height, bottom, top, rounding), centre, **paint)


def ring(centre: Vector, radius: float, tube: float, opening: float = np.pi, **paint) -> Part:
    """A torus in the xz plane, or the arc of it within `opening` (radians) of its lowest point."""
    return Part("ring", (radius, tube, opening, 0), centre, **paint)


def eye(centre: Vector, radius: float, gaze: Vector, iris: str, open_: float = 1.0) -> list[Part]:
    """A glossy eyeball and its two catchlights; gaze = degrees (to +X, up), open_ in (0, 1]."""
    look = turn("z", gaze[0]) @ turn("x", -gaze[1])
    lid = np.diag([1.0, 0.75, open_])  # a little flat: it sits in its face
    globe = ball((0, 0, 0), radius, color="#fffdf6", color2=iris, pattern="iris", gloss=0.9)
    spark = ellipsoid((-0.21, -0.9, 0.29), (0.16, 0.08, 0.16), glow=1.0)
    small = ellipsoid((0.22, -0.94, -0.2), (0.08, 0.05, 0.08), glow=1.0)
    parts = mapped([globe], look) + mapped([spark, small], radius * np.eye(3))
    return moved(mapped(parts, lid), centre)


def mirrored(parts: Iterable[Part]) -> list[Part]:
    """The parts and their mirror images across x = 0 (every shape is its own mirror image)."""
    parts = list(parts)
    flip = np.diag([-1.0, 1.0, 1.0])
    return parts + mapped(parts, flip)


def between(color: str, color2: str, share: float) -> str:
    """The colour at a share of the way from one to the other."""
    pairs = [(int(color[i : i + 2], 16), int(color2[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def linear_rgb(color: str) -> np.ndarray:
    """'#rrggbb' in sRGB to linear light [3] in [0, 1]."""
    srgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def reach(part: Part) -> float:
    """Radius of a sphere about the shape's own origin that holds it (before `linear`)."""
    a, b, c, d = part.size[0], part.size[1], part.size[2], part.size[-1]
    if part.shape == "ellipsoid":
        return max(a, b, c) + d
    if part.shape == "limb":
        return a / 2 + max(b, c)
    if part.shape == "box":
        return float(np.linalg.norm([a, b, c]))
    if part.shape == "cone":
        return float(np.hypot(a, max(b, c))) + d
    return a + b
