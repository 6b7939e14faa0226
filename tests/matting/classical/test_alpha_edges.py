"""Soft edges of a mask by the colours of both sides."""

from __future__ import annotations

import cv2
import numpy as np

from ds4d.matting.classical import color_models
from ds4d.matting.classical.alpha_edges import BAND, estimate_alpha

SIZE = 96
Y, X = np.mgrid[: 8 * SIZE, : 8 * SIZE] / 8
DISC = (np.hypot(X - 48, Y - 48) < 24.3).astype(np.float32)
ALPHA = cv2.resize(DISC, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def alpha(front: tuple, behind: np.ndarray | tuple, known: float = 1.0) -> np.ndarray:
    """The engine's opacity of a disc with true edges, from its mask."""
    plate = np.zeros((SIZE, SIZE, 3)) + behind
    rgb = ALPHA[..., None] * front + (1 - ALPHA[..., None]) * plate
    confidence = np.full((SIZE, SIZE), known, np.float32)
    lab = color_models.lab
    return estimate_alpha(lab(rgb), ALPHA > 0.5, lab(plate), confidence)


def test_opacity_at_the_edge_is_the_share_of_the_object():
    edge = (ALPHA > 0) & (ALPHA < 1)
    for known in (1.0, 0.0):  # by the plate, and by the colours beside the object
        errors = np.abs(alpha((200, 90, 40), (60, 110, 160), known) - ALPHA)
        assert errors[edge].mean() < 0.1
        assert errors[~edge].max() < 0.2


def test_the_plate_tells_more_than_the_mean_around():
    stripes = np.where(np.arange(SIZE)[:, None, None] // 3 % 2, 40.0, 200.0) * np.ones((1, SIZE, 3))
    with_plate = np.abs(alpha((200, 60, 40), stripes) - ALPHA).mean()
    assert with_plate < 0.8 * np.abs(alpha((200, 60, 40), stripes, 0.0) - ALPHA).mean()


def test_equal_colours_leave_the_mask_with_a_narrow_blur():
    found = alpha((120, 120, 120), (120, 120, 120))
    assert np.abs(found - ALPHA).max() < 0.35
    inner = cv2.erode((ALPHA > 0.5).astype(np.uint8), np.ones((2 * BAND + 1,) * 2)) > 0
    assert (found[inner] == 1).all()


def test_an_empty_and_a_full_mask_stay():
    lab = np.full((20, 20, 3), 50, np.float32)
    known = np.ones((20, 20), np.float32)
    for mask in (np.zeros((20, 20), bool), np.ones((20, 20), bool)):
        np.testing.assert_array_equal(estimate_alpha(lab, mask, lab, known), mask)
