"""Soft edges of a mask: the share of the object's colour in a pixel between both sides."""

from __future__ import annotations

import cv2
import numpy as np

BAND = 2  # half the width of the band in which opacity is estimated, pixels
AROUND = 13  # width of the square that a side's colour is the mean of, pixels
CLOSE = 16.0  # Lab units between both sides' colours at which the projection counts half
ENDS = 0.08  # of the way between the colours at either end that is noise
BLUR = 0.8  # pixels; sigma of the edge where the colours of both sides are close


def estimate_alpha(
    lab: np.ndarray,  # [h, w, 3] float32
    mask: np.ndarray,  # [h, w] bool
    plate: np.ndarray,  # [h, w, 3] float32 Lab, the clean plate in this frame
    confidence: np.ndarray,  # [h, w] float32 in 0..1, of the plate
) -> np.ndarray:
    """Opacity [h, w] float32 in 0..1: the mask, and within BAND of its edge what colours say.

    A pixel's colour is projected onto the line from the background's to the object's colour. The
    object's is the mean of its pixels nearby; the background's is the plate's, where it is known.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1,) * 2)
    solid = mask.astype(np.uint8)
    inner, outer = cv2.erode(solid, disc), cv2.dilate(solid, disc)
    front, front_known = _mean_around(lab, inner)
    beside, beside_known = _mean_around(lab, 1 - outer)
    behind = beside + confidence[..., None] * (plate - beside)
    way = front - behind
    squared = np.einsum("...c,...c->...", way, way)
    share = np.einsum("...c,...c->...", lab - behind, way) / np.maximum(squared, 1e-3)
    share = ((share - ENDS) / (1 - 2 * ENDS)).clip(0, 1)
    trust = front_known * np.maximum(confidence, 0.5 * beside_known)
    trust = trust * squared / (squared + CLOSE**2)
    blurred = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), BLUR)
    edge = blurred + trust * (share - blurred)
    return np.where(inner > 0, 1, edge * outer).astype(np.float32)


def _mean_around(lab: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour of the mask's pixels nearby [h, w, 3], and 1 where there are any [h, w]."""
    weights = mask.astype(np.float32)
    total = cv2.blur(weights, (AROUND, AROUND))
    mean = cv2.blur(lab * weights[..., None], (AROUND, AROUND)) / np.maximum(total, 1e-6)[..., None]
    return mean, (total > 0.02).astype(np.float32)
