"""Reading of a clip, sampled evenly over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..config import ClipConfig
from ..errors import UserError
from ..images import checkerboard, over
from ..run.events import Event, Stage
from .clip import Clip
from .framing import framed
from .sources import Source, open_source
from .survey import Usable, lost_frames, usable

STILL = 4.0  # grey levels; a clip whose 8 x 8 blocks change less than this does not move


def read(path: Path, config: ClipConfig) -> Stage[Clip]:
    """Read a clip and sample it evenly over time to `config.frames`, or to all frames of a shorter
    clip, between `config.start` and `config.end`.

    Args:
        path: a video, an animated image, a folder or a zip of images, or a prepared folder
            (datasets.py).

    Raises:
        UserError: nothing there, not a clip, fewer than two frames, or over the limits.
    """
    source = open_source(Path(path), config)
    found = usable(source, config)
    frames, lost = yield from _picked(source, found, config)
    indices = np.array(sorted(frames), np.int64)
    if len(frames) < 2:
        raise UserError(
            f"{source.name} has {'no frame' if not frames else 'only one frame'} that can be read.",
            "Give a clip in which the object moves: a video, a GIF or a folder of images.",
        )
    stack, cut, notes = framed([frames[index] for index in indices.tolist()], source)
    warnings = [*source.notes, *found.notes, *lost_frames(source, lost), *notes]
    if _is_still(stack):
        warnings.append("The clip does not move, so the result will not move either.")
    for warning in warnings:
        yield Event("clip", len(frames), len(frames), warning, warning=True)
    yield Event("clip", len(frames), len(frames), f"{len(frames)} of {source.count} frames")
    return Clip(
        frames=stack,
        positions=positions(source, indices),
        indices=indices,
        source_frames=source.count,
        fps=source.fps,
        prepared=source.kind == "prepared",
        warnings=tuple(warnings),
        seconds=None if source.seconds is None else source.times[indices],
        left_out=source.left_out,
        cut=cut,
    )


def _picked(
    source: Source, found: Usable, config: ClipConfig
) -> Stage[tuple[dict[int, np.ndarray], np.ndarray]]:
    """The sampled frames by their numbers, and the numbers of those that cannot be decoded.

    Others take their place.
    """
    frames: dict[int, np.ndarray] = {}
    left, lost = found.indices, []
    while True:
        indices = sampled(source, left, config.frames)
        absent = [index for index in indices.tolist() if index not in frames]
        for index, frame in source.pick(absent):
            frames[index] = frame
            message = f"frame {index + 1} of {source.count}"
            yield Event("clip", len(frames), len(indices), message, preview=_preview(frame))
        failed = [index for index in absent if index not in frames]
        if not failed:
            chosen = set(indices.tolist())
            return {i: f for i, f in frames.items() if i in chosen}, np.array(sorted(lost))
        lost += failed
        left = np.setdiff1d(left, failed)
        if len(left) < 2:
            return frames, np.array(sorted(lost))


def sampled(source: Source, indices: np.ndarray, count: int) -> np.ndarray:
    """At most `count` [T] of the frames [K] that may be used, evenly spaced in time."""
    if len(indices) <= count:
        return indices.astype(np.int64)
    times = source.times[indices]
    even = np.linspace(times[0], times[-1], len(times))
    if np.abs(times - even).max() < 0.5 * (even[1] - even[0]):
        chosen = np.linspace(0, len(indices) - 1, count).round().astype(np.int64)
        return indices[chosen].astype(np.int64)
    goals = np.linspace(times[0], times[-1], count)
    taken = set(np.abs(times[None] - goals[:, None]).argmin(axis=1).tolist())
    while len(taken) < count:  # where frames lie close together, some are the nearest of several
        distance = np.abs(times[:, None] - times[None, sorted(taken)]).min(axis=1)
        taken.add(int(distance.argmax()))
    return indices[sorted(taken)].astype(np.int64)


def positions(source: Source, indices: np.ndarray) -> np.ndarray:
    """Places of frames in time [T] float64, from 0 for the first one to 1 for the last one."""
    times = source.times[indices]
    return (times - times[0]) / (times[-1] - times[0])


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
