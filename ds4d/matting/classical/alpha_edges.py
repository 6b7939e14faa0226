"""The soft edge: how far a pixel lies on the way from the background's colour to the object's."""

from __future__ import annotations

import cv2
import numpy as np

BAND = 2  # half the width of the soft edge, pixels
CLOSE = 40.0  # grey levels between both colours at which the way is trusted half
ENDS = 0.08  # of the way at either end is noise


def softened(
    rgb: np.ndarray,  # [h, w, 3] float32 in 0..255
    mask: np.ndarray,  # [h, w] bool
    behind: np.ndarray,  # [h, w, 3] float32 in 0..255, the empty scene
    seen: np.ndarray,  # [h, w] float32 in 0..1, how surely it is known
) -> np.ndarray:
    """Opacity [h, w] float32 in 0..1: the mask, and colours tell within BAND of its edge."""
    solid = mask.astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1,) * 2)
    inner = cv2.erode(solid, disc).astype(np.float32)
    outer = cv2.dilate(solid, disc).astype(np.float32)
    blurred = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), 0.8)
    front, near_front = _mean_near(rgb, inner)
    around, near_around = _mean_near(rgb, 1 - outer)
    known = seen[..., None]
    behind = known * behind + (1 - known) * around
    way = front - behind
    length = (way**2).sum(axis=-1)
    along = ((rgb - behind) * way).sum(axis=-1) / np.maximum(length, 1.0)
    along = ((along - ENDS) / (1 - 2 * ENDS)).clip(0, 1)
    trust = near_front * np.maximum(seen, 0.5 * near_around) * length / (length + CLOSE**2)
    edge = trust * along + (1 - trust) * blurred
    return np.where(inner > 0, 1.0, np.where(outer > 0, edge, 0.0)).astype(np.float32)


def _mean_near(rgb: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean colour of near pixels that count, [h, w, 3], and whether there are any, [h, w]."""
    reach = (6 * BAND + 1,) * 2
    total = cv2.blur(weights, reach)
    mean = cv2.blur(rgb * weights[..., None], reach) / np.maximum(total, 1e-6)[..., None]
    return mean, (total > 0.02).astype(np.float32)
