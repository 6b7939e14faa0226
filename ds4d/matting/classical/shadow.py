"""Soft shadows on a plain floor: darker, of the floor's hue, fading in without an edge."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from .color_models import length

MAX_DARKENING = 0.5  # of the floor's lightness
HUE_OFF = 2.0  # Lab units of chroma that a shadow may be off, and a share of the darkening more
HUE_SHARE = 0.12
INVISIBLE = 1.5  # Lab units below which a difference cannot be seen
FINE, COARSE = 1.5, 4.0  # sigmas of blur, 1/512 of the image
SOFT = 0.75  # share of an edge's slope that is left after COARSE blur; of a sharp edge's 0.4
OBJECT = 35.0  # Lab units; larger differences are no shadow
MIN_SLOPE = 0.15  # Lab units per pixel
ENTRY = 12  # 1/512 of the image; least length along which a shadow meets the lit floor


def shadow_mask(
    frame: np.ndarray,  # [h, w, 3] float32 Lab
    plate: np.ndarray,  # [h, w, 3] float32 Lab, the clean plate
    confidence: np.ndarray,  # [h, w] float32, 1 where a frame shows the plate
) -> np.ndarray:
    """Pixels that show the background in a soft shadow, [h, w] bool.

    A shadow is connected to the lit floor without a sharp edge between them. The sharpness of an
    edge does not depend on its contrast: more blur leaves little of a sharp edge's slope. A shadow
    also lies below the middle of the object: a limb in quick motion has soft edges too.
    """
    unit = max(frame.shape) / 512
    soft = cv2.GaussianBlur(frame - plate, (0, 0), FINE * unit)
    share = (plate[..., 0] + soft[..., 0]).clip(0) / np.maximum(plate[..., 0], 1)
    hue = soft[..., 1:] + plate[..., 1:] * (1 - share)[..., None]  # chroma fades with the light
    same_hue = length(hue) < HUE_OFF + HUE_SHARE * np.abs(soft[..., 0])
    # A plate that is extrapolated out of a shadow is too dark: there, brighter pixels count too.
    relit = (soft[..., 0] < -INVISIBLE) | ((soft[..., 0] > INVISIBLE) & (confidence < 1))
    relit &= (np.abs(share - 1) < MAX_DARKENING) & same_hue
    if not relit.any():
        return relit
    fine = _slope(soft[..., 0])
    coarse = cv2.GaussianBlur(soft[..., 0], (0, 0), np.sqrt(COARSE**2 - FINE**2) * unit)
    reach = 2 * round(3 * unit) + 1
    sharp = _dilate(_slope(coarse), reach) < SOFT * _dilate(fine, reach)
    sharp &= _dilate(fine, reach) > MIN_SLOPE
    labels, numbers = ndimage.label(relit & ~sharp)
    floor = _dilate((length(soft) < INVISIBLE).astype(np.float32), 3) > 0
    entries = np.bincount(labels[floor], minlength=numbers + 1)
    entered = (entries > ENTRY * unit) & _below_object(labels, length(soft) > OBJECT)
    entered[0] = False
    found = entered[labels].astype(np.float32)
    # Beside the feet of the object, its own edge is near.
    return relit & (_dilate(found, 2 * reach + 1) > 0)


def _below_object(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Labels of [h, w], [N] bool, whose areas lie mostly below the mask's middle row."""
    rows = np.arange(len(labels))
    sizes = np.maximum(1, np.bincount(labels.ravel()))
    heights = np.bincount(labels.ravel(), np.repeat(rows, labels.shape[1])) / sizes
    occupied = np.flatnonzero(mask.any(axis=1))
    middle = (occupied[0] + occupied[-1]) / 2 if len(occupied) else -1
    return heights > middle


def _dilate(image: np.ndarray, width: int) -> np.ndarray:
    """Largest value within a square of this width."""
    return cv2.dilate(image, np.ones((width, width)))


def _slope(lightness: np.ndarray) -> np.ndarray:
    """Length of the gradient, levels per pixel."""
    return np.hypot(cv2.Sobel(lightness, -1, 1, 0), cv2.Sobel(lightness, -1, 0, 1)) / 8
