"""Shadows on a plain floor: darker, of the floor's hue, and fading in without an edge."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from .color_models import length

MOST = 0.5  # of the floor's lightness that is taken away
HUE_OFF = 2.0  # Lab units of chroma that a shadow may be off, and a share of the darkening more
HUE_SHARE = 0.12
FAINT = 1.5  # Lab units that nobody sees
FINE, COARSE = 1.5, 4.0  # 1/512 of the picture
SOFT = 0.75  # of an edge's slope is left after COARSE blur; of a sharp edge's 0.4
THING = 35.0  # Lab units; what differs that much is no shadow
LEVEL = 0.15  # Lab units per pixel; less is no slope
ENTRY = 12  # 1/512 of the picture; length at least along which a shadow meets the lit floor


def shadows(
    frame: np.ndarray,  # [h, w, 3] float32 Lab
    behind: np.ndarray,  # [h, w, 3] float32 Lab, the empty scene
    seen: np.ndarray,  # [h, w] float32, 1 where a frame shows that
) -> np.ndarray:
    """Where a frame shows the empty scene in a soft shadow: [h, w] bool.

    It is walked into from the lit floor without crossing a sharp edge. How sharp an edge is does
    not depend on its contrast: more blur leaves little of a sharp one's slope. And it lies below
    the middle of what throws it: a limb in quick movement has soft edges too.
    """
    unit = max(frame.shape) / 512
    soft = cv2.GaussianBlur(frame - behind, (0, 0), FINE * unit)
    share = (behind[..., 0] + soft[..., 0]).clip(0) / np.maximum(behind[..., 0], 1)
    hue = soft[..., 1:] + behind[..., 1:] * (1 - share)[..., None]  # chroma fades with the light
    same_hue = length(hue) < HUE_OFF + HUE_SHARE * np.abs(soft[..., 0])
    # What is continued out of a shadow is too dark, and may be relit to the brighter side too.
    relit = (soft[..., 0] < -FAINT) | ((soft[..., 0] > FAINT) & (seen < 1))
    relit &= (np.abs(share - 1) < MOST) & same_hue
    if not relit.any():
        return relit
    fine = _slope(soft[..., 0])
    more = cv2.GaussianBlur(soft[..., 0], (0, 0), np.sqrt(COARSE**2 - FINE**2) * unit)
    reach = 2 * round(3 * unit) + 1
    sharp = _grown(_slope(more), reach) < SOFT * _grown(fine, reach)
    sharp &= _grown(fine, reach) > LEVEL
    labels, numbers = ndimage.label(relit & ~sharp)
    empty = _grown((length(soft) < FAINT).astype(np.float32), 3) > 0
    entries = np.bincount(labels[empty], minlength=numbers + 1)
    entered = (entries > ENTRY * unit) & _low(labels, length(soft) > THING)
    entered[0] = False
    found = entered[labels].astype(np.float32)
    # Beside the feet that throw it, their own edge is near.
    return relit & (_grown(found, 2 * reach + 1) > 0)


def _low(labels: np.ndarray, thing: np.ndarray) -> np.ndarray:
    """Which of the areas labelled 1... in [h, w] lie mostly below the thing's middle row: [N]."""
    rows = np.arange(len(labels))
    sizes = np.maximum(1, np.bincount(labels.ravel()))
    heights = np.bincount(labels.ravel(), np.repeat(rows, labels.shape[1])) / sizes
    seen = np.flatnonzero(thing.any(axis=1))
    middle = (seen[0] + seen[-1]) / 2 if len(seen) else -1
    return heights > middle


def _grown(image: np.ndarray, width: int) -> np.ndarray:
    return cv2.dilate(image, np.ones((width, width)))


def _slope(light: np.ndarray) -> np.ndarray:
    return np.hypot(cv2.Sobel(light, -1, 1, 0), cv2.Sobel(light, -1, 0, 1)) / 8
