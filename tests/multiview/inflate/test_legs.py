"""Legs: depth from their lowest points, sides, and limbs in the air."""

from __future__ import annotations

import math

import numpy as np

from ds4d.cameras import RADIUS
from ds4d.multiview.inflate import legs
from ds4d.multiview.inflate.ground_plane import Slant, lowest_points
from ds4d.multiview.inflate.mid_surface import bend
from ds4d.multiview.inflate.silhouette import half_thickness

SIZE = 256
FOCAL = SIZE / 2 / math.tan(math.radians(15))
FLOOR = 80  # row of the floor under the middle, from the principal point, pixels
SLANT = Slant(0.0, 0.0, 1.0, FLOOR / FOCAL)


def standing(body: tuple[int, int], feet: dict[int, int], frames: int = 6) -> np.ndarray:
    """Alphas [T, S, S] of a body between two columns on legs: column -> row of its foot."""
    alphas = np.zeros((frames, SIZE, SIZE), np.float32)
    alphas[:, 90:150, body[0] : body[1]] = 1
    for column, row in feet.items():
        alphas[:, 150 : SIZE // 2 + row, column - 5 : column + 5] = 1
    return alphas


def placed(alphas: np.ndarray) -> np.ndarray:
    insides = alphas > 0.5
    halves = np.stack([half_thickness(inside) for inside in insides])
    contacts = lowest_points(alphas)
    return legs.depth_offsets(insides, halves, contacts, SLANT, FOCAL, RADIUS)


def test_the_lower_foot_is_nearer():
    """Its depth is that of the ground at that row: focal * height / row."""
    found = placed(standing((100, 156), {110: FLOOR + 2, 146: FLOOR - 2}))
    near, far = found[:, 180, 110], found[:, 180, 146]
    expected = RADIUS * FLOOR / (FLOOR - 2) - RADIUS
    np.testing.assert_allclose(far, expected, rtol=0.4)
    np.testing.assert_allclose(near, -far, rtol=0.1)


def test_a_long_animal_has_its_legs_on_both_sides():
    """All feet on one line of the image: which are the near ones is a guess, but not all are."""
    found = placed(standing((40, 216), {55: 80, 95: 80, 160: 80, 200: 80}))[0, 180]
    sides = [found[column] for column in (55, 95, 160, 200)]
    assert sorted(np.sign(sides)) == [-1, -1, 1, 1]
    assert min(np.abs(sides)) > 0.02


def test_an_upright_figure_keeps_its_legs_under_it():
    found = placed(standing((100, 156), {110: FLOOR, 146: FLOOR}))
    assert np.nanmax(np.abs(found)) < 0.005


def test_a_limb_in_the_air_is_not_a_leg():
    alphas = standing((100, 156), {110: FLOOR, 146: FLOOR - 2})
    alphas[:, 90:170, 80:90] = 1  # an arm, and the shoulder that holds it
    alphas[:, 90:100, 80:100] = 1
    assert np.isnan(placed(alphas)[:, 165, 85]).all()


def test_the_trunk_keeps_its_depth_and_the_legs_bend():
    alphas = standing((40, 216), {55: 80, 200: 80})
    inside = alphas[0] > 0.5
    own = placed(alphas)[0]
    depth = bend(inside, half_thickness(inside), own)
    assert abs(depth[110, 128]) < 0.1 * np.nanmax(np.abs(own))
    np.testing.assert_allclose(depth[195, [55, 200]], own[195, [55, 200]], rtol=0.1)
    steps = np.abs(np.diff(depth[:195, 55]))[100:]
    assert steps.max() < 0.15 * np.nanmax(np.abs(own))  # no tear at the hip
