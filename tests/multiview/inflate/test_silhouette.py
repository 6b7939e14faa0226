"""Inflation of silhouettes to round shapes, and flat bases."""

from __future__ import annotations

import numpy as np

from ds4d.multiview.inflate.silhouette import flat_base, half_thickness

SIZE = 96


def disc(radius: float, size: int = SIZE) -> np.ndarray:
    rows, columns = np.indices((size, size)) + 0.5 - size / 2
    return np.hypot(rows, columns) < radius


def test_a_disc_becomes_a_sphere():
    radius = 30
    half = half_thickness(disc(radius))
    rows, columns = np.indices(half.shape) + 0.5 - SIZE / 2
    expected = np.sqrt(np.maximum(radius**2 - rows**2 - columns**2, 0))
    assert np.abs(half - expected)[disc(radius - 2)].max() < 0.05 * radius


def test_a_strip_becomes_a_round_bar():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:, 38:58] = True
    half = half_thickness(mask)
    across = np.arange(38, 58) + 0.5 - SIZE / 2
    expected = np.sqrt(10.5**2 - across**2)  # h is zero half a pixel outside
    assert np.abs(half[SIZE // 2, 38:58] - expected)[2:-2].max() < 0.5


def test_an_object_on_a_flat_base_is_as_thick_there_as_above():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[20:80, 30:66] = True  # a pot
    half = half_thickness(mask)
    assert flat_base(mask)[79, 32:64].all()
    assert half[78, 48] > 0.9 * half[55, 48]
    assert half[21, 48] < 0.5 * half[55, 48]  # its top is round, as the top of a head


def test_a_ball_has_no_base():
    assert not flat_base(disc(30)).any()


def test_a_lifted_foot_is_no_base():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[20:40, 20:76] = True
    mask[40:80, 20:30] = True
    mask[40:60, 66:76] = True  # lifted
    base = flat_base(mask)
    assert base[:, 20:30].any() and not base[:, 60:].any()
