"""Surfaces of a clip from a network's depths and the shape prior."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ds4d.cameras import orbit_cameras
from ds4d.multiview.relief.fit import SHARE, Relief, slants_of, surfaces

SIZE = 64
K = orbit_cameras([0.0], size=SIZE).Ks[0].double().numpy()
COLUMNS = np.tile((np.arange(SIZE) + 0.5) / SIZE, (SIZE, 1))


def clip(count: int = 2) -> np.ndarray:
    """Frames of a box, [count, SIZE, SIZE, 4]."""
    frames = np.zeros((count, SIZE, SIZE, 4), np.uint8)
    frames[:, 20:44, 10:54] = (200, 90, 40, 255)
    return frames


def plane(slope: float, count: int = 2) -> np.ndarray:
    return np.tile(slope * COLUMNS, (count, 1, 1)).astype(np.float32)


def slope_of(told) -> float:
    inside = clip()[0, ..., 3] > 0
    return np.polyfit(COLUMNS[inside], told.front[0][inside], 1)[0]


@pytest.mark.parametrize("slope", [0.5, -0.5])
def test_the_slant_of_the_depths_is_the_priors(slope):
    told = surfaces(clip(), Relief(plane(slope)), K)
    assert math.tan(told.slants.mean()) == pytest.approx(slope, abs=0.05)
    assert slope_of(told) == pytest.approx(slope, abs=0.25)
    assert (told.back >= told.front - 1e-6).all()


def test_shifts_of_frames_do_not_matter():
    depths = plane(0.3)
    shifted = depths + np.array([0.4, -0.7], np.float32)[:, None, None]
    one, other = (surfaces(clip(), Relief(maps), K).front for maps in (depths, shifted))
    inside = clip()[..., 3] > 0
    np.testing.assert_allclose(one[inside], other[inside], atol=2e-3)


def test_a_given_slant_tilts_the_depths():
    told = surfaces(clip(), Relief(plane(-0.4)), K, slant=math.radians(20))
    assert np.allclose(told.slants, math.radians(20))
    assert slope_of(told) == pytest.approx(math.tan(math.radians(20)), abs=0.15)


def test_details_are_the_networks():
    bump = np.zeros((2, SIZE, SIZE), np.float32)
    bump[:, 28:36, 28:36] = -0.1
    inner = (slice(None), slice(30, 34), slice(30, 34))
    flat, bumped = (surfaces(clip(), Relief(plane(0) + part), K).front for part in (0, bump))
    raised = (bumped - flat)[inner].mean() - np.median((bumped - flat)[clip()[..., 3] > 0])
    assert raised == pytest.approx(-0.1 * SHARE, abs=0.02)


def test_depths_without_a_unit_get_the_priors():
    rng = np.random.default_rng(0)
    rough = np.repeat(np.kron(rng.normal(size=(1, 8, 8)), np.ones((8, 8))), 2, 0).astype(np.float32)
    fronts = [
        surfaces(clip(), Relief(unit * rough, scaled=False), K).front for unit in (0.01, 50.0)
    ]
    inside = clip()[..., 3] > 0
    np.testing.assert_allclose(fronts[0][inside], fronts[1][inside], atol=0.01)


def test_empty_frames_are_left_alone():
    frames = clip(3)
    frames[1, ..., 3] = 0
    told = surfaces(frames, Relief(plane(0.2, 3), np.tile([0.0, 0.0, -1.0], (3, SIZE, SIZE, 1))), K)
    assert np.isfinite(told.front).all() and np.isfinite(told.back).all()
    assert (slants_of(plane(0.2), np.zeros((2, SIZE, SIZE), bool)) == 0).all()
