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
    width: int  # of the clip's frames, pixels
    height: int

    def middles(self) -> np.ndarray:
        """Middles of the squares, from the middle of the frame, in sides of the square: [T, 2]."""
        middle = np.array([self.width / 2, self.height / 2])
        return (self.squares[:, :2] - middle) / self.squares[:, 2:] + 0.5


def recorded(workspace: Workspace, frames: int) -> Travel | None:
    """Read the way of the square for an asset of some frames; None if it stood still.

    Frames that were made between those of the clip lie between their squares.
    """
    path = workspace.record.get("stages", {}).get("matting", {}).get("path")
    if path is None:
        return None
    known = np.array(path, np.float64)
    places = np.linspace(0, len(known) - 1, frames)
    squares = np.stack([np.interp(places, np.arange(len(known)), row) for row in known.T], axis=1)
    with Image.open(workspace / "clip" / "0000.png") as image:
        return Travel(squares, *image.size)
