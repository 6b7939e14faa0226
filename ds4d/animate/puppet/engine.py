"""The puppet engine: a motion is chosen, posed, and drawn."""

from __future__ import annotations

import numpy as np

from ...errors import UserError
from ...images import checkerboard, over
from ...run.events import Event, Stage
from . import motions
from .draw import Painter
from .rig import Puppet

BORDER = 0.07  # free border of the frames, as a fraction of their side
SMALLEST = 400  # pixels of an object that can be moved


def run(
    picture: np.ndarray,  # [S, S, 4] uint8, straight alpha, colours extended outward
    motion: str,  # one of MOTIONS, or auto
    frames: int,
) -> Stage[np.ndarray]:
    """Animate a cut-out in a seamless loop, [T, S, S, 4] uint8.

    The motion is reduced until nothing is stretched too far, and the frames are scaled so that the
    object stays inside.

    Raises:
        UserError: the picture is too small for a mesh.
    """
    size = len(picture)
    if (picture[..., 3] > 127).sum() < SMALLEST:
        raise UserError(
            "The object in the picture is too small to be moved.", "Give a larger picture of it."
        )
    puppet = Puppet(picture)
    chosen, why = (motion, "asked for") if motion != "auto" else motions.suited(puppet.shape)
    yield Event("animate", 0, frames, f"{chosen}: {why}")
    places = _inside(puppet.posed(chosen, frames), size)
    painter = Painter(picture, puppet.mesh, puppet.layers)
    drawn = []
    for number, vertices in enumerate(places):
        drawn.append(painter.frame(vertices, size))
        preview = over(drawn[-1], checkerboard(size, size))
        yield Event("animate", number + 1, frames, f"frame {number + 1}", preview)
    return np.stack(drawn)


def _inside(places: np.ndarray, size: int) -> np.ndarray:
    """Vertices [T, V, 2] moved and scaled, all frames alike, so that they lie inside the frame."""
    low, high = places.min((0, 1)), places.max((0, 1))
    scale = min(1.0, size * (1 - 2 * BORDER) / float((high - low).max()))
    return (places - (low + high) / 2) * scale + size / 2
