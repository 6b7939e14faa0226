"""Motion of the camera, by the background that the mattes leave."""

from __future__ import annotations

import cv2
import numpy as np

from .classical import stabilization
from .cleanup import shrunk

LONGEST = 256  # pixels; of the frames in which the background is tracked


def motion(
    frames: np.ndarray,  # [T, H, W, 3] uint8
    alphas: np.ndarray,  # [T, H, W] uint8
) -> np.ndarray | None:
    """Transforms [T, 2, 3] from each frame's pixels to the middle frame's.

    None where the camera stands still, and where the background does not move as one, so that its
    motion is not known.
    """
    small = np.stack([cv2.cvtColor(shrunk(frame, LONGEST), cv2.COLOR_RGB2GRAY) for frame in frames])
    solid = np.stack([shrunk(alpha, LONGEST) > 127 for alpha in alphas])
    found = stabilization.camera_transforms(small, solid)
    if found is None or stabilization.stands_still(found):
        return None
    scale = frames.shape[2] / small.shape[2]
    return np.stack([stabilization.rescale(transform, scale) for transform in found])
