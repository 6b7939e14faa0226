"""Six views of each frame from its front view alone, by what a network knows about shapes.

The shape prior tells how far the first and the last surface are along each ray of the front view,
and the colours of the last one. The solid between them is drawn from the six other cameras. The
silhouette is exact in every frame; depth is an informed guess.
"""

from __future__ import annotations

import math

import numpy as np

from ...cameras import (
    ZERO123PLUS_AZIMUTHS,
    ZERO123PLUS_ELEVATIONS,
    Cameras,
    concatenate,
    orbit_cameras,
)
from ...images import over, tile
from ...run.events import Event, Stage
from ...run.parallel import each
from ..views import Views
from .model import Model, fit, resized
from .solid import render


def run(
    frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
    front: Cameras,  # one camera at S x S, level, at azimuth 0
    size: int,  # side of the views, pixels
    slant: float | None = None,  # degrees, positive: the right side is farther away; None = fit
    depth: float = 1.0,  # factor on the thickness
) -> Stage[Views]:
    """Render the front view and six views around the object, in every frame.

    Yields one event per frame, whose preview tiles the six views over white.

    Returns:
        Views with images [T, 7, size, size, 4], the cameras of the front and of the Zero123++
        poses at the front camera's distance and field of view, and the middle frame's mesh. A
        frame with an empty matte has transparent views.
    """
    model = yield from fit(frames, front, slant, depth)
    return (yield from views_of(model, frames, front, size))


def views_of(
    model: Model,
    frames: np.ndarray,
    front: Cameras,
    size: int,
    before: int = 0,  # steps of the stage that are done
) -> Stage[Views]:
    """Render the views of a model of the frames, with the events and the result of `run`."""
    others = _zero123plus_cameras(front, size)
    cameras = concatenate([front.resized(size, size), others])
    images = np.empty((len(frames), len(cameras), size, size, 4), np.uint8)
    drawn = each(lambda index: render(model.solid(index), others), range(len(frames)))
    for index, views in enumerate(drawn):
        images[index, 0], images[index, 1:] = resized(frames[index], size), views
        preview = tile(over(views), columns=3)
        step, total = before + index + 1, before + len(frames)
        yield Event("multiview", step, total, f"frame {index + 1}", preview)
    return Views(images, cameras, mesh=model.solid(len(frames) // 2).mesh())


def _zero123plus_cameras(front: Cameras, size: int) -> Cameras:
    """The six Zero123++ v1.2 poses at the front camera's distance and field of view."""
    fov = 2 * math.degrees(math.atan(front.height / 2 / float(front.Ks[0, 1, 1])))
    radius = float(front.centres().norm())
    elevations = ZERO123PLUS_ELEVATIONS["v1.2"]
    return orbit_cameras(ZERO123PLUS_AZIMUTHS, elevations, size=size, radius=radius, fov_deg=fov)
