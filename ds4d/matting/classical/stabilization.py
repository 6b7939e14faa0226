"""Camera motion in front of a still background."""

from __future__ import annotations

import cv2
import numpy as np

from .color_models import length

STILL = 0.003  # of the image's size; a camera that moves less stands still
FARTHEST = 0.6  # of the image's size that a drift may reach
QUIET = 8.0  # grey levels; a border that changes less does not move
MIN_POINTS = 12  # that a transform is estimated from
MIN_INLIERS = 0.6  # share of the points that have to move alike
BORDER = 0.22  # width of the border in which points are tracked, share of the size
RIM = 9  # pixels by which the object is grown, so that no point lies on its edge
IDENTITY = np.eye(2, 3)


def camera_transforms(
    grey: np.ndarray,  # [T, h, w] uint8
    objects: np.ndarray | None = None,  # [T, h, w] bool, the object, where it is known
) -> np.ndarray | None:
    """Similarity transforms from each frame's pixels to the middle frame's, [T, 2, 3] float64.

    Points of the background, or near the border as long as the object is not known, are tracked
    from frame to frame; the motion of most of them is the camera's.

    Returns:
        Identities where the camera stands still. None where the background does not move as one,
        or so far that nothing of it stays in the image.
    """
    count, height, width = grey.shape
    outer = np.ones((height, width), bool)
    outer[height // 16 : -height // 16, width // 16 : -width // 16] = False
    border = grey[:, outer].astype(np.float32)
    if np.percentile(np.abs(border - np.median(border, axis=0)), 80) < QUIET:
        return np.stack([IDENTITY] * count)
    to_first = [np.eye(3)]
    for index in range(1, count):
        where = _near_border(height, width) if objects is None else _beside(objects[index])
        step = _track(grey[index - 1], grey[index], where)
        if step is None:
            return None
        to_first.append(to_first[-1] @ np.vstack([step, [0, 0, 1]]))
    to_middle = np.linalg.inv(to_first[count // 2]) @ np.stack(to_first)
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1.0]])
    moved = to_middle[:, :2] @ corners.T  # [T, 2, 4]
    farthest = np.abs(moved - corners.T[:2]).max() / max(height, width)
    if farthest < STILL:
        return np.stack([IDENTITY] * count)
    return to_middle[:, :2] if farthest < FARTHEST else None


def stands_still(transforms: np.ndarray) -> bool:
    """True for transforms [T, 2, 3] of a camera that does not move."""
    return np.array_equal(transforms, np.broadcast_to(IDENTITY, transforms.shape))


def _near_border(height: int, width: int) -> np.ndarray:
    depth = round(BORDER * min(height, width))
    outer = np.full((height, width), 255, np.uint8)
    outer[depth:-depth, depth:-depth] = 0
    return outer


def _beside(mask: np.ndarray) -> np.ndarray:
    """Everything but an object [h, w] bool and its rim, [h, w] uint8."""
    return 255 * (1 - cv2.dilate(mask.astype(np.uint8), np.ones((RIM, RIM), np.uint8)))


def _track(previous: np.ndarray, current: np.ndarray, where: np.ndarray) -> np.ndarray | None:
    """The similarity [2, 3] from the current frame's pixels to the previous one's, if there is.

    Points are taken where a mask [h, w] uint8 is not 0.
    """
    points = cv2.goodFeaturesToTrack(current, 300, 0.01, 4, mask=where)
    if points is None or len(points) < MIN_POINTS:
        return None
    window = {"winSize": (15, 15)}
    found, ok, _ = cv2.calcOpticalFlowPyrLK(current, previous, points, None, **window)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(previous, current, found, None, **window)
    good = (ok & ok_back).ravel().astype(bool) & (length((back - points)[:, 0]) < 0.5)
    if good.sum() < MIN_POINTS:
        return None
    transform, inliers = cv2.estimateAffinePartial2D(
        points[good], found[good], method=cv2.RANSAC, ransacReprojThreshold=0.5
    )
    return transform if transform is not None and inliers.mean() > MIN_INLIERS else None


def rescale(transform: np.ndarray, factor: float) -> np.ndarray:
    """A transform [2, 3] of pixels, for images that are larger by a factor."""
    linear = transform[:, :2]
    center = linear @ np.full(2, 0.5) - 0.5  # pixel centres lie at whole numbers
    return np.column_stack([linear, factor * (transform[:, 2] - center) + center])
