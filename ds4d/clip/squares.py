"""Choice of the squares that the frames of a run are cut from.

One square serves all frames of a clip. Where the object would have few pixels in it, because it
crosses the frame, a square of one size follows it on a smooth path. Where the camera moves a
little, the squares move with the background: the camera's motion is not taken for the object's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

FEW = 1 / 3  # share of the square's side; an object with less is followed
GAIN = 2 / 3  # side of the following square by that of the one square, at most
SMOOTH = 1 / 12  # standard deviation of the path's smoothing, share of the number of frames
VISIBLE = 50  # alpha

Square = tuple[int, int, int]  # left, top, side


@dataclass(frozen=True)
class Squares:
    """The square of each frame, in pixels of the clip's frames."""

    places: np.ndarray  # [T, 3] int64: left, top, side; all have one side
    camera: np.ndarray  # [T, 2] int64: how far the background has moved at the object's place
    follows: bool  # whether they follow the object, and not only the background

    @property
    def move(self) -> bool:
        """True if they are not one square."""
        return bool(np.ptp(self.places, axis=0).any())

    def facts(self) -> dict[str, Any]:
        """The squares for run.json: one `crop`, or a `path`, and `camera` if that moved, too."""
        if not self.move:
            return {"crop": self.places[0].tolist()}
        camera = {"camera": self.camera.tolist()} if self.camera.any() else {}
        return {"path": self.places.tolist(), "follows": self.follows} | camera


def choose(
    alphas: np.ndarray,  # [T, H, W] uint8
    margin: float,
    camera: np.ndarray | None = None,  # [T, 2, 3] from each frame's pixels to those of one of them
) -> Squares:
    """Choose the square of each frame. Mattes in which nothing is visible have the whole frame."""
    seen = [_extent(alpha) for alpha in alphas]
    visible = np.array([box is not None for box in seen])
    boxes = np.array([box for box in seen if box is not None]).reshape(-1, 4)
    shifts = np.zeros((len(alphas), 2), np.int64)
    if camera is not None and len(boxes):
        shifts = _shifts(camera, _between((boxes[:, :2] + boxes[:, 2:]) / 2, visible))
    boxes = boxes - np.tile(shifts[visible], 2)  # as the background sees them
    left, top, side = around(boxes, margin) if len(boxes) else _whole(*alphas.shape[1:])
    still = Squares(np.array([left, top, side]) + np.pad(shifts, ((0, 0), (0, 1))), shifts, False)
    if visible.sum() < 2:
        return still
    in_frame = around(boxes + np.tile(shifts[visible], 2), margin)[2]
    own = np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1))
    if own >= FEW * side and in_frame > GAIN * side:
        return still
    path = _smoothed(_between((boxes[:, :2] + boxes[:, 2:]) / 2, visible))
    reach = np.maximum(boxes[:, 2:] - path[visible], path[visible] - boxes[:, :2]).max()
    following = round(2 * float(reach) / (1 - 2 * margin))
    if following > GAIN * side:
        return still
    corners = np.round(path - following / 2).astype(np.int64) + shifts
    places = np.column_stack([corners, np.full(len(corners), following)])
    return Squares(places, shifts, True)


def around(boxes: np.ndarray, margin: float) -> Square:
    """The square around boxes [K, 4] (left, top, right, bottom)."""
    left, top = boxes[:, :2].min(axis=0).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).tolist()
    side = round(max(bottom - top, right - left) / (1 - 2 * margin))
    return round((left + right - side) / 2), round((top + bottom - side) / 2), side


def _whole(height: int, width: int) -> Square:
    side = max(height, width)
    return (width - side) // 2, (height - side) // 2, side


def _shifts(camera: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """Whole pixels by which the background has moved where the object's middle is: [T, 2]."""
    steady = np.einsum("tij,tj->ti", camera[..., :2], middles) + camera[..., 2]
    return np.round(middles - steady).astype(np.int64)


def _between(middles: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Middles [T, 2] of all frames, from those [K, 2] of the frames in which it is visible [T]."""
    frames = np.arange(len(visible))
    return np.stack([np.interp(frames, frames[visible], row) for row in middles.T], axis=1)


def _smoothed(path: np.ndarray) -> np.ndarray:
    """A path [T, 2] without jitter. It goes on in its direction at both ends, and does not lag."""
    from scipy.ndimage import gaussian_filter1d

    beyond = len(path) - 1
    longer = np.pad(path, ((beyond, beyond), (0, 0)), mode="reflect", reflect_type="odd")
    return gaussian_filter1d(longer, SMOOTH * len(path), axis=0)[beyond : beyond + len(path)]


def _extent(alpha: np.ndarray) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of what is visible in a matte [H, W]; None = nothing."""
    seen = alpha > VISIBLE
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
