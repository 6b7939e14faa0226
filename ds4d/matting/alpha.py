"""The mattes that a clip brings along as its alpha channel."""

from __future__ import annotations

import numpy as np

from ..images import checkerboard, over
from ..run.events import Event, Stage

LEAST_TRANSPARENT = 0.01  # share of transparent pixels; rounded corners alone are no matte


def usable(frames: np.ndarray) -> bool:
    """Whether frames [T, H, W, 3 or 4] uint8 have an alpha channel that tells the object apart."""
    return frames.shape[-1] == 4 and float((frames[..., 3] < 128).mean()) > LEAST_TRANSPARENT


def run(frames: np.ndarray) -> Stage[np.ndarray]:
    """The alpha channel of frames [T, H, W, 4] uint8: [T, H, W] uint8."""
    board = checkerboard(*frames.shape[1:3])
    for index, frame in enumerate(frames):
        yield Event("matting", index + 1, len(frames), "alpha of the clip", over(frame, board))
    return frames[..., 3]
