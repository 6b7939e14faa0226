"""A sequence of cut-out frames with more frames in between, whatever makes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..clip import resized
from ..run.events import Event, Stage

# Two frames [S, S, 4] uint8 and shares in (0, 1) of the time between them -> a frame for each.
Between = Callable[[np.ndarray, np.ndarray, list[float]], list[np.ndarray]]


def positions(moments: np.ndarray, factor: int) -> np.ndarray:
    """Moments [(T - 1) * factor + 1] of all frames, from those of the clip's frames, [T]."""
    frames = np.arange((len(moments) - 1) * factor + 1) / factor
    return np.interp(frames, np.arange(len(moments)), moments)


def filled_in(frames: np.ndarray, factor: int, between: Between) -> Stage[np.ndarray]:
    """Make factor - 1 frames between each two of [T, S, S, 4] uint8, straight alpha.

    Returns all frames in the order of time, [(T - 1) * factor + 1, S, S, 4] uint8; the given ones
    are kept as they are.
    """
    shares = [step / factor for step in range(1, factor)]
    result = [frames[0]]
    for index in range(len(frames) - 1):
        made = between(frames[index], frames[index + 1], shares)
        # Clear pixels get the colours of the object nearby, as in all cut-out frames.
        result += [*(resized(frame, len(frame)) for frame in made), frames[index + 1]]
        message = f"frames after frame {index + 1}"
        yield Event("matting", index + 1, len(frames) - 1, message)
    return np.stack(result)


def premultiplied(frame: np.ndarray) -> np.ndarray:
    """Straight alpha uint8 -> premultiplied float32 in [0, 1]."""
    parts = frame.astype(np.float32) / 255
    return np.dstack([parts[..., :3] * parts[..., 3:], parts[..., 3]])


def straight(frame: np.ndarray) -> np.ndarray:
    """Premultiplied float32 in [0, 1] -> straight alpha uint8."""
    opacity = frame[..., 3:]
    colors = frame[..., :3] / np.maximum(opacity, 1 / 512)
    return (np.dstack([colors, opacity]).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def backdrop(frame: np.ndarray) -> float:
    """Grey level in [0, 1], white or black, that contrasts with a premultiplied frame's object."""
    opacity = frame[..., 3].sum()
    return float(frame[..., :3].mean(-1).sum() / max(opacity, 1e-6) < 0.5)
