"""Scores of a render beside the picture that it should show."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ...images import over

AROUND = 11  # pixels; side of the square that widens the object to where errors count


def scores_of(
    image: np.ndarray,  # [S, S, 4] uint8, a render
    picture: np.ndarray,  # [S, S, 3] uint8, on white
    inside: np.ndarray,  # [S, S] bool, the object in the picture
) -> tuple[float, float]:
    """PSNR, dB, within 5 pixels of the objects of both, and IoU of the silhouettes."""
    drawn = image[..., 3] > 127
    union = drawn | inside
    if not union.any():
        return 100.0, 1.0
    near = cv2.dilate(union.astype(np.uint8), np.ones((AROUND, AROUND), np.uint8)) > 0
    error = np.square((over(image).astype(np.float64) - picture)[near] / 255).mean()
    return -10 * math.log10(max(float(error), 1e-10)), float((drawn & inside).sum() / union.sum())
