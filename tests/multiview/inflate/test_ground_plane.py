"""Slant from contacts with the ground, on synthetic silhouettes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ds4d.cameras import FOV_DEG, RADIUS
from ds4d.multiview.inflate.ground_plane import estimate_slant

FOCAL = 128 / math.tan(math.radians(15))


def disc(radius: float, size: int) -> np.ndarray:
    rows, columns = np.indices((size, size)) + 0.5 - size / 2
    return np.hypot(rows, columns) < radius


def hopping(slope: float, frames: int = 12, drop: float = 0.0) -> np.ndarray:
    """Alphas of a body on four legs that walks in place, standing along depth = slope * x.

    In turn two legs stand on the floor and two are lifted; `drop` lifts the whole animal by a
    random part of it, so that nothing stays on a floor.
    """
    size, random = 256, np.random.default_rng(0)
    focal = size / 2 / math.tan(math.radians(FOV_DEG / 2))
    alphas = np.zeros((frames, size, size), np.float32)
    for index in range(frames):
        height = random.uniform(0, drop)
        for leg, x in enumerate((-0.3, -0.2, 0.2, 0.3)):
            x = x + random.uniform(-0.03, 0.03)
            lift = 0.04 * random.random() * ((leg + index) % 2)
            depth = RADIUS + slope * x
            column = size / 2 + focal * x / depth
            foot = size / 2 + focal * (0.22 - lift - height) / depth
            alphas[index, 128 : int(foot), int(column) - 3 : int(column) + 4] = 1
            # the matte's last row is covered in part
            alphas[index, int(foot), int(column) - 3 : int(column) + 4] = foot % 1
        alphas[index, 100:140, 50:206] = 1
    return alphas


@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.5])
def test_the_slant_is_read_from_feet_on_the_floor(slope):
    alphas = hopping(slope)
    found = estimate_slant(alphas, FOCAL, RADIUS)
    assert found.slope == pytest.approx(slope, abs=0.2)
    assert abs(found.slope) <= abs(slope) + 0.05
    assert found.confidence > 0.6 or slope == 0  # it may be the symmetry that says so


def test_there_is_no_slant_without_evidence():
    ball = np.repeat(disc(80, 256)[None], 6, 0).astype(np.float32)
    assert abs(estimate_slant(ball, FOCAL, RADIUS).slope) < 0.05
    one_legged = np.zeros((6, 256, 256), np.float32)
    one_legged[:, 60:200, 120:136] = 1
    one_legged[:, 200, 120:126] = 1  # its sole is not even
    assert abs(estimate_slant(one_legged, FOCAL, RADIUS).slope) < 0.1
    assert abs(estimate_slant(hopping(0.0, drop=0.15), FOCAL, RADIUS).slope) < 0.2


def test_a_symmetric_figure_has_no_slant():
    """The same contacts that slant a lopsided figure leave a symmetric one as it is."""
    alphas = hopping(0.0)
    alphas[:, 128:230, 51:58] = 1  # a hand that reaches lower on the left, below all feet
    alphas = np.maximum(alphas, alphas[:, :, ::-1])
    assert abs(estimate_slant(alphas, FOCAL, RADIUS).slope) < 0.05


def test_two_feet_under_a_long_body_are_weak_evidence():
    """One near, one far: they stand across the body, not along it."""
    long, upright = (np.zeros((8, 256, 256), np.float32) for _ in range(2))
    long[:, 90:130, 30:240] = 1
    long[:, 70:90, 200:240] = 1  # a head
    upright[:, 30:130, 95:165] = 1
    upright[:, 60:80, 80:95] = 1  # an arm
    for alphas in (long, upright):
        alphas[:, 130:200, 105:115] = 1
        alphas[:, 130:194, 145:155] = 1
    leaning = estimate_slant(upright, FOCAL, RADIUS).slope
    assert leaning > 0.2
    assert 0 <= estimate_slant(long, FOCAL, RADIUS).slope < 0.7 * leaning


def test_falling_and_tiny_objects_have_no_slant():
    falling, dot = (np.zeros((8, 96, 96), np.float32) for _ in range(2))
    for index in range(8):
        falling[index, 10 + 8 * index : 30 + 8 * index, 30:60] = 1
    dot[:, 48, 48] = 1
    for alphas in (falling, dot):
        assert abs(estimate_slant(alphas, FOCAL, RADIUS).slope) < 0.1
