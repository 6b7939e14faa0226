"""The way of the square through the clip's frames, as a run has recorded it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..run.workspace import Workspace


@dataclass(frozen=True)
class Travel:
    """The square of each frame of the asset, within the frames of the clip."""

    squares: np.ndarray  # [T, 3] float64: left, top and side, pixels of the clip's frames
    camera: np.ndarray  # [T, 2] float64: how far the background has moved, the same pixels
    width: int  # of the clip's frames, pixels
    height: int

    def middles(self) -> np.ndarray:
        """Middles of the squares, from the middle of the frame, in sides of the square: [T, 2]."""
        middle = np.array([self.width / 2, self.height / 2])
        return (self.squares[:, :2] - middle) / self.squares[:, 2:] + 0.5


def recorded(workspace: Workspace, frames: int) -> Travel | None:
    """Read the way of the square for an asset of some frames; None if it followed no object.

    Frames that were made between those of the clip lie between their squares.
    """
    facts = workspace.record.get("stages", {}).get("matting", {})
    if "path" not in facts or not facts.get("follows", True):  # earlier versions only followed
        return None
    squares = np.array(facts["path"], np.float64)
    camera = np.array(facts.get("camera", np.zeros((len(squares), 2))), np.float64)
    with Image.open(workspace / "clip" / "0000.png") as image:
        return Travel(_resampled(squares, frames), _resampled(camera, frames), *image.size)


def _resampled(rows: np.ndarray, count: int) -> np.ndarray:
    """Rows [K, n] at `count` places from the first to the last."""
    places = np.linspace(0, len(rows) - 1, count)
    return np.stack([np.interp(places, np.arange(len(rows)), row) for row in rows.T], axis=1)
