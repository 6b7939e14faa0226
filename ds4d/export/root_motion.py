"""Path of an object that crosses the clip's frame, as a root motion for the other exports.

In the 4D asset the object stays in the middle, because a square has followed it through the frame.
The path of that square, without the camera's own motion, is brought to the object's distance from
the front camera.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from ..clip.square_path import recorded
from .context import ExportContext

NAME = "exports/root_motion.json"


def write(context: ExportContext) -> Iterator[str]:
    """Write exports/root_motion.json: times [T] in seconds, and translations [T, 3] in world
    coordinates (Z up, front towards -Y), by which the object is moved at these times.

    Nothing is written for a run in which one square serves all frames.
    """
    moved = translations(context)
    if moved is None:
        context.workspace.remove(NAME)  # of an earlier run
        return
    with context.workspace.replacing(NAME) as path:
        path.write_text(json.dumps({"times": context.times, "translations": moved.tolist()}))
    yield NAME


def translations(context: ExportContext) -> np.ndarray | None:
    """Translations [T, 3] float64 from the first frame, in world units; None without a path."""
    frames = len(context.times)
    travel = recorded(context.workspace, frames)
    if travel is None:
        return None
    squares = travel.squares
    pixels = squares[:, :2] - travel.camera
    pixels -= pixels[0]
    cameras = context.asset.cameras
    viewmat, K = cameras.viewmats[0].cpu().double().numpy(), cameras.Ks[0].cpu().double().numpy()
    distance = viewmat[2, 3]  # of the world's origin, along the optical axis
    seen = pixels * (cameras.width / squares[0, 2])  # pixels of the front camera
    in_camera = np.column_stack([
        seen[:, 0] * distance / K[0, 0], seen[:, 1] * distance / K[1, 1], np.zeros(frames)
    ])  # fmt: skip
    return in_camera @ viewmat[:3, :3]
