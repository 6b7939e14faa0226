"""The mid-surface: offsets of thin and thick parts."""

from __future__ import annotations

import numpy as np

from ds4d.multiview.inflate.mid_surface import lean
from ds4d.multiview.inflate.silhouette import half_thickness

SIZE = 96


def disc(radius: float, row: float = SIZE / 2, column: float = SIZE / 2) -> np.ndarray:
    rows, columns = np.indices((SIZE, SIZE)) + 0.5
    return np.hypot(rows - row, columns - column) < radius


def test_a_ball_stays_a_ball():
    half = half_thickness(disc(30))
    assert np.abs(lean(half[None])).max() < 0.03 * 30


def test_an_arm_is_in_front_of_the_body_without_a_step():
    mask = disc(26, column=34)
    mask[44:52, 34:92] = True
    half = half_thickness(mask)
    offset = lean(half[None])[0]
    assert offset[48, 85] < offset[48, 34] - 3  # nearer to the camera
    assert np.abs(np.diff(offset[48, 30:90])).max() < 1.5
    assert abs((offset * half).sum()) < 1e-3 * half.sum()


def test_an_empty_clip_has_none():
    assert (lean(np.zeros((2, 8, 8))) == 0).all()
