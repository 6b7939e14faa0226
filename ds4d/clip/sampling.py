"""Reading of a clip, sampled evenly over time."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config import ClipConfig
from ..errors import UserError
from ..images import checkerboard, over
from ..run.events import Event, Stage
from .clip import Clip
from .sources import Source, open_source

STILL = 4.0  # grey levels; a clip whose 8 x 8 blocks change less than this does not move


def read(path: Path, config: ClipConfig) -> Stage[Clip]:
    """Read a clip and sample it evenly to `config.frames`, or to all frames of a shorter clip,
    between `config.start` and `config.end`.

    Args:
        path: a video, an animated image, a folder of images, or a prepared folder (datasets.py).

    Raises:
        UserError: nothing there, not a clip, fewer than two frames, or over the limits.
    """
    path = Path(path)
    source, prepared = open_source(path, config)
    frames, indices = yield from _sample(source, config)
    if len(frames) < len(indices):  # cut off or damaged: the file promised more than it holds
        source = replace(source, count=source.recount())
        frames, indices = yield from _sample(source, config)
    if len(frames) < 2:
        raise UserError(
            f"{source.name} has {'no frame' if not frames else 'only one frame'} that can be read.",
            "Give a clip in which the object moves: a video, a GIF or a folder of images.",
        )
    stack = stacked(frames, source.name)
    warnings = []
    if source.promised and source.count < source.promised:
        warnings.append(
            f"{source.name} is cut off: {source.count} of about {source.promised} frames can be "
            "read, and these are used."
        )
    if _is_still(stack):
        warnings.append("The clip does not move, so the result will not move either.")
    for warning in warnings:
        yield Event("clip", len(frames), len(frames), warning, warning=True)
    yield Event("clip", len(frames), len(frames), f"{len(frames)} of {source.count} frames")
    return Clip(
        frames=stack,
        positions=(indices - indices[0]) / (indices[-1] - indices[0]),
        indices=indices,
        source_frames=source.count,
        fps=source.fps,
        prepared=prepared,
        warnings=tuple(warnings),
    )


def _sample(source: Source, config: ClipConfig) -> Stage[tuple[list[np.ndarray], np.ndarray]]:
    """The sampled frames as far as they can be read, and the indices of all sampled frames."""
    indices = sampled_indices(source, config)
    frames: list[np.ndarray] = []
    for frame in source.pick(indices.tolist()):
        frames.append(frame)
        message = f"frame {indices[len(frames) - 1] + 1} of {source.count}"
        yield Event("clip", len(frames), len(indices), message, preview=_preview(frame))
    return frames, indices


def sampled_indices(source: Source, config: ClipConfig) -> np.ndarray:
    """Indices [T] int64 of the source's frames that a run uses: evenly, from start to end.

    Raises:
        UserError: there are fewer than two frames between them, or the source has no frame rate.
    """
    first, last = 0, source.count - 1
    if config.start or config.end is not None:
        if source.fps is None:
            raise UserError(
                f"{source.name} has no frame rate, so no part can be chosen by seconds.",
                "Remove the images that are not wanted, and leave out start and end.",
            )
        first = max(0, math.ceil(config.start * source.fps - 1e-6))
        if config.end is not None:
            last = min(last, math.floor(config.end * source.fps + 1e-6))
        if last <= first:
            until = "its end" if config.end is None else f"{config.end:g} s"
            raise UserError(
                f"From {config.start:g} s to {until}, {source.name} has fewer than two frames.",
                f"It lasts {source.count / source.fps:.1f} s.",
            )
    return np.linspace(first, last, min(config.frames, last - first + 1)).round().astype(np.int64)


def stacked(frames: list[np.ndarray], name: str) -> np.ndarray:
    """Stack frames to [T, H, W, 4] if any pixel is transparent, else to [T, H, W, 3].

    Raises:
        UserError: the frames differ in size.
    """
    if len({frame.shape[:2] for frame in frames}) > 1:
        raise UserError(
            f"The frames of {name} differ in size.", "Export the clip with one frame size."
        )
    if all(frame.shape[2] == 3 or frame[..., 3].min() == 255 for frame in frames):
        return np.stack([frame[..., :3] for frame in frames])
    opaque = np.full((*frames[0].shape[:2], 1), 255, np.uint8)
    return np.stack([
        frame if frame.shape[2] == 4 else np.concatenate([frame, opaque], -1) for frame in frames
    ])  # fmt: skip


def _is_still(frames: np.ndarray) -> bool:
    """True if no block of 8 x 8 pixels changes by more than compression noise."""
    import cv2

    height, width = frames.shape[1:3]
    size = (max(1, width // 8), max(1, height // 8))
    grey = [over(f, 128) if f.shape[2] == 4 else f for f in frames]
    small = [cv2.resize(f, size, interpolation=cv2.INTER_AREA).astype(np.float32) for f in grey]
    return float(np.ptp(small, axis=0).max()) < STILL


def _preview(frame: np.ndarray) -> np.ndarray:
    return over(frame, checkerboard(*frame.shape[:2])) if frame.shape[2] == 4 else frame
