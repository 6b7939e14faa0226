"""A look at what a video network made, with the eyes of the preflight report."""

from __future__ import annotations

import cv2
import numpy as np

from ..clip.survey import LOOKS
from ..matting.classical import stabilization
from ..matting.cleanup import shrunk
from ..preflight import checks

ZOOM = 1.5  # largest to smallest diagonal of the object; a change of pose is less
WHITE = 24  # grey levels that the object's colours differ from white


def doubts(
    frames: np.ndarray,  # [T, H, W, 3] uint8, an object over white
) -> list[str]:
    """Sentences about what would pass for motion of the object: a moving or zooming camera, a cut.

    That the object stays inside the frame is checked when it is cut out again.
    """
    picked = frames[np.unique(np.linspace(0, len(frames) - 1, LOOKS).round().astype(int))]
    small = np.stack([shrunk(frame, checks.THUMBNAIL_SIZE) for frame in picked])
    sentences = [check.sentence for check in checks.check_cuts(small, [None] * len(small))]
    movements = stabilization.camera_transforms(
        np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in small])
    )
    if movements is None or not stabilization.stands_still(movements):
        sentences.append("The camera moves, or the background behind the object does.")
    zoom = _zoom(small)
    if zoom > ZOOM:
        sentences.append(f"The object's size changes by a factor of {zoom:.1f}: the camera zooms.")
    return sentences


def _zoom(frames: np.ndarray) -> float:
    """Ratio of the object's largest to its smallest diagonal; 1 where it is not seen."""
    solid = (255 - frames.astype(int)).max(-1) > WHITE
    extents = [
        np.hypot(*(np.ptp(np.flatnonzero(mask.any(axis))) + 1 for axis in (0, 1)))
        for mask in solid
        if mask.any()
    ]
    return float(max(extents) / min(extents)) if extents else 1.0
