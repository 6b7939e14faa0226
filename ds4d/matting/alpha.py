"""Mattes of a clip that has an alpha channel."""

from __future__ import annotations

import numpy as np

from ..images import checkerboard, over
from ..run.events import Event, Stage

MIN_TRANSPARENT = 0.01  # share of transparent pixels; rounded corners alone are no matte


def usable(frames: np.ndarray) -> bool:
    """True if frames [T, H, W, 3 or 4] uint8 have an alpha channel that separates an object."""
    return frames.shape[-1] == 4 and float((frames[..., 3] < 128).mean()) > MIN_TRANSPARENT


def run(frames: np.ndarray) -> Stage[np.ndarray]:
    """Return the alpha channel of frames [T, H, W, 4] uint8: [T, H, W] uint8."""
    board = checkerboard(*frames.shape[1:3])
    for index, frame in enumerate(frames):
        yield Event("matting", index + 1, len(frames), "alpha of the clip", over(frame, board))
    return frames[..., 3]
