"""Log-odds of pixels belonging to the object, by their difference from the clean plate."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from .color_models import length

STRONG, WEAK = 10.0, 2.5  # Lab units of difference, by a single pixel and by an area, without noise
HOLE = 2.0  # Lab units that a hole's mean differs from the background, at most
SMALL_HOLE = 0.004  # share of the object's area below which a hole is filled
MAX_LOG_ODDS = 8.0  # nats
NEUTRAL = 0.7  # share of STRONG at which the log-odds are 0
BLUR = 5  # pixels across which an edge fades
STEEP = 0.4  # share of that fading across 3 pixels


def difference_log_odds(
    frame: np.ndarray,  # [h, w, 3] float32 Lab
    plate: np.ndarray,  # [h, w, 3] float32 Lab, the clean plate in this frame
    noise: np.ndarray,  # [h, w] float32, the plate's, Lab units
) -> np.ndarray:
    """Nats by which a frame's pixels are the object, [h, w] float32 in -2..MAX_LOG_ODDS.

    A pixel that differs strongly counts by itself. A weak difference counts over an area only:
    compression ripples around zero beside an edge, and averages out.
    """
    sigma = max(1.0, 2.5 * max(frame.shape) / 512)
    difference = frame - plate
    sharp = length(cv2.GaussianBlur(difference, (0, 0), 0.8))
    level = np.maximum(STRONG, 4 * noise)
    strong = sharp > level
    rest = (cv2.dilate(strong.astype(np.uint8), np.ones((3, 3))) == 0).astype(np.float32)
    weight = cv2.GaussianBlur(rest, (0, 0), sigma)[..., None]
    mean = cv2.GaussianBlur(difference * rest[..., None], (0, 0), sigma) / np.maximum(weight, 1e-3)
    weak = length(mean) / np.maximum(WEAK, 1.2 * noise)
    by_area = np.minimum(2 * weak**2, 4.0) * np.minimum(1, 2 * weight[..., 0]) - 2
    # In the middle of a blurred edge, differences change from pixel to pixel; a pixel is neutral
    # there with half the difference of its most different neighbour.
    most = cv2.dilate(sharp, np.ones((BLUR, BLUR)))
    ramp = cv2.dilate(sharp, np.ones((3, 3))) - cv2.erode(sharp, np.ones((3, 3))) > STEEP * most
    neutral = np.where(ramp, np.maximum(NEUTRAL * level, 0.5 * most), NEUTRAL * level)
    by_pixel = 2 * (sharp / neutral) ** 2 - 2
    return np.where(strong, by_pixel, np.maximum(by_pixel, by_area)).clip(-2, MAX_LOG_ODDS)


def fill_holes(
    mask: np.ndarray,  # [h, w] bool
    frame: np.ndarray,  # [h, w, 3] float32 Lab
    plate: np.ndarray,  # [h, w, 3] float32 Lab, the clean plate in this frame
    confidence: np.ndarray,  # [h, w] float32 in 0..1, of the plate
) -> np.ndarray:
    """The mask with those holes filled that are small or do not show the background.

    The mean over a hole averages noise out: it shows a difference that single pixels do not.
    """
    labels, numbers = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    if numbers == 0:
        return mask
    areas = np.bincount(labels.ravel(), minlength=numbers + 1)
    inner = labels * (cv2.erode((labels > 0).astype(np.uint8), np.ones((5, 5))) > 0)
    index = np.arange(numbers + 1)
    known = ndimage.sum(confidence, inner, index)
    means = np.stack([  # lightness counts in part only: there may be shade in the hole
        ndimage.sum((frame - plate)[..., k] * confidence, inner, index) for k in range(3)
    ], -1) * (0.4, 1, 1) / np.maximum(known, 1)[:, None]  # fmt: skip
    through = (length(means) < HOLE) & (known > 4) & (areas > SMALL_HOLE * mask.sum())
    through[0] = True  # label 0 is no hole
    return mask | ~through[labels]
