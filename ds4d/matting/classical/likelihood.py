"""How strongly each pixel speaks for the object: by what differs from the empty scene."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from .color_models import length

STRONG, WEAK = 10.0, 2.5  # Lab units that tell the object from a background without noise
HOLE = 2.0  # Lab units that a hole's mean differs from the background, at most
SMALL_HOLE = 0.004  # share of the object's area below which a hole is filled
MOST = 8.0  # nats
EVEN = 0.7  # of STRONG says neither
BLUR = 5  # pixels across which an edge fades
STEEP = 0.4  # share of that fading across 3 pixels


def differing(
    frame: np.ndarray,  # [h, w, 3] float32 Lab
    behind: np.ndarray,  # [h, w, 3] float32 Lab, the empty scene
    spread: np.ndarray,  # [h, w] float32, its noise in Lab units
) -> np.ndarray:
    """Nats by which a frame's pixels are the object, [h, w] float32 in -2..MOST.

    A pixel that differs strongly counts by itself. A weak difference counts over an area only:
    compression ripples around zero beside an edge, and a mean lets none of that stand.
    """
    sigma = max(1.0, 2.5 * max(frame.shape) / 512)
    difference = frame - behind
    sharp = length(cv2.GaussianBlur(difference, (0, 0), 0.8))
    level = np.maximum(STRONG, 4 * spread)
    strong = sharp > level
    rest = (cv2.dilate(strong.astype(np.uint8), np.ones((3, 3))) == 0).astype(np.float32)
    weight = cv2.GaussianBlur(rest, (0, 0), sigma)[..., None]
    mean = cv2.GaussianBlur(difference * rest[..., None], (0, 0), sigma) / np.maximum(weight, 1e-3)
    weak = length(mean) / np.maximum(WEAK, 1.2 * spread)
    over_area = np.minimum(2 * weak**2, 4.0) * np.minimum(1, 2 * weight[..., 0]) - 2
    # Half as different as the most different neighbour is the middle of a blurred edge, on which
    # differences change from pixel to pixel.
    most = cv2.dilate(sharp, np.ones((BLUR, BLUR)))
    ramp = cv2.dilate(sharp, np.ones((3, 3))) - cv2.erode(sharp, np.ones((3, 3))) > STEEP * most
    even = np.where(ramp, np.maximum(EVEN * level, 0.5 * most), EVEN * level)
    by_itself = 2 * (sharp / even) ** 2 - 2
    return np.where(strong, by_itself, np.maximum(by_itself, over_area)).clip(-2, MOST)


def filled(
    mask: np.ndarray,  # [h, w] bool
    frame: np.ndarray,  # [h, w, 3] float32 Lab
    behind: np.ndarray,  # [h, w, 3] float32 Lab, the empty scene
    seen: np.ndarray,  # [h, w] float32 in 0..1, where that is known
) -> np.ndarray:
    """The mask with those holes filled that are small or do not show the empty scene.

    The mean over a hole undoes noise: it shows a difference that single pixels do not.
    """
    labels, numbers = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    if numbers == 0:
        return mask
    areas = np.bincount(labels.ravel(), minlength=numbers + 1)
    inner = labels * (cv2.erode((labels > 0).astype(np.uint8), np.ones((5, 5))) > 0)
    index = np.arange(numbers + 1)
    known = ndimage.sum(seen, inner, index)
    means = np.stack([  # of lightness a part only: there may be shade in the hole
        ndimage.sum((frame - behind)[..., k] * seen, inner, index) for k in range(3)
    ], -1) * (0.4, 1, 1) / np.maximum(known, 1)[:, None]  # fmt: skip
    through = (length(means) < HOLE) & (known > 4) & (areas > SMALL_HOLE * mask.sum())
    through[0] = True  # not a hole
    return mask | ~through[labels]
