"""Limbs that are found in a silhouette."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import zoom

from ds4d.animate.puppet import limbs
from tests.animate.figures import SIZE, animal, person, pot


def kinds(alpha: np.ndarray) -> list[str]:
    return sorted(limb.kind for limb in limbs.find(alpha))


def test_a_person_has_two_feet_two_arms_and_a_head():
    assert kinds(person()[..., 3]) == ["arm", "arm", "foot", "foot", "top"]


def test_an_animal_has_four_feet():
    assert kinds(animal()[..., 3]).count("foot") == 4


def test_a_round_thing_has_no_limbs():
    assert kinds(pot()[..., 3]) == []


def test_a_limb_runs_from_the_body_to_its_tip():
    right = max(limbs.find(person()[..., 3]), key=lambda limb: limb.path[-1][0])
    np.testing.assert_allclose(right.path[-1], (160, 85), atol=6)
    assert 110 < right.path[0][0] < 125
    assert abs(right.radius - 6) < 2 and 35 < right.length < 55


def test_an_empty_or_tiny_matte_has_no_limbs():
    assert limbs.find(np.zeros((SIZE, SIZE), np.uint8)) == []


def test_the_size_of_the_picture_does_not_matter():
    small, large = person()[..., 3], zoom(person()[..., 3], 2, order=1)
    assert kinds(small) == kinds(large)
    np.testing.assert_allclose(
        [limb.length for limb in limbs.find(large)],
        [2 * limb.length for limb in limbs.find(small)],
        rtol=0.1,
    )
