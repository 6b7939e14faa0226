"""How the camera moves before a still background."""

from __future__ import annotations

import cv2
import numpy as np

from .color_models import length

STILL = 0.003  # of the picture's size; a camera that moves less stands still
FARTHEST = 0.6  # of the picture's size that a drift may reach
QUIET = 8.0  # grey levels; a border that changes less does not move
FEWEST = 12  # points that a movement is read from
AGREE = 0.6  # share of the points that have to move alike
OUTER = 0.22  # width of the border that points are looked for in, share of the size
IDENTITY = np.eye(2, 3)


def movements(
    grey: np.ndarray,  # [T, h, w] uint8
) -> np.ndarray | None:
    """Where each frame's pixels lie in the middle frame: [T, 2, 3] float64 (turn, scale, shift).

    Points near the border are followed from frame to frame; what most of them do is the camera. All
    are the identity where it stands still; None where the background does not move as one, or so
    far that nothing of it stays in the picture.
    """
    count, height, width = grey.shape
    outer = np.ones((height, width), bool)
    outer[height // 16 : -height // 16, width // 16 : -width // 16] = False
    border = grey[:, outer].astype(np.float32)
    if np.percentile(np.abs(border - np.median(border, axis=0)), 80) < QUIET:
        return np.stack([IDENTITY] * count)
    steps = [IDENTITY]
    for before, now in zip(grey, grey[1:], strict=False):
        step = _step(before, now)
        if step is None:
            return None
        steps.append(step)
    to_first = [np.eye(3)]
    for step in steps[1:]:
        to_first.append(to_first[-1] @ np.vstack([step, [0, 0, 1]]))
    to_middle = np.linalg.inv(to_first[count // 2]) @ np.stack(to_first)
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1.0]])
    moved = to_middle[:, :2] @ corners.T  # [T, 2, 4]
    farthest = np.abs(moved - corners.T[:2]).max() / max(height, width)
    if farthest < STILL:
        return np.stack([IDENTITY] * count)
    return to_middle[:, :2] if farthest < FARTHEST else None


def _step(before: np.ndarray, now: np.ndarray) -> np.ndarray | None:
    """The similarity [2, 3] that takes `now`'s pixels to `before`'s."""
    height, width = now.shape
    depth = round(OUTER * min(height, width))
    outer = np.full(now.shape, 255, np.uint8)
    outer[depth:-depth, depth:-depth] = 0
    points = cv2.goodFeaturesToTrack(now, 300, 0.01, 4, mask=outer)
    if points is None or len(points) < FEWEST:
        return None
    found, ok, _ = cv2.calcOpticalFlowPyrLK(now, before, points, None, winSize=(15, 15))
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(before, now, found, None, winSize=(15, 15))
    good = (ok & ok_back).ravel().astype(bool) & (length((back - points)[:, 0]) < 0.5)
    if good.sum() < FEWEST:
        return None
    step, inliers = cv2.estimateAffinePartial2D(
        points[good], found[good], method=cv2.RANSAC, ransacReprojThreshold=0.5
    )
    return step if step is not None and inliers.mean() > AGREE else None


def scaled(movement: np.ndarray, factor: float) -> np.ndarray:
    """A movement [2, 3] in pictures that are larger by a factor."""
    turn = movement[:, :2]
    middle = turn @ np.full(2, 0.5) - 0.5  # pixel centres lie at whole numbers
    return np.column_stack([turn, factor * (movement[:, 2] - middle) + middle])
