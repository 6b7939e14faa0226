"""As-rigid-as-possible deformation."""

from __future__ import annotations

import numpy as np
import pytest

from ds4d.animate.puppet.arap import Arap
from ds4d.animate.puppet.mesh import triangulate
from tests.animate.figures import pot


@pytest.fixture(scope="module")
def mesh():
    return triangulate(pot()[..., 3])


@pytest.fixture(scope="module")
def rest(mesh) -> np.ndarray:
    return mesh.vertices @ np.array([1, 1j])


def ends(rest: np.ndarray) -> np.ndarray:
    """Handles at the upper and the lower end."""
    return np.array([rest.imag.argmin(), rest.imag.argmax(), rest.real.argmax()])


def test_handles_that_stay_move_nothing(mesh, rest):
    handles = ends(rest)
    found = Arap(mesh, handles).deformed(rest, rest[handles])
    np.testing.assert_allclose(found, rest, atol=1e-6)


def test_a_rotation_of_all_handles_turns_everything(mesh, rest):
    handles = ends(rest)
    turned = (rest - 96 - 96j) * np.exp(0.2j) + 96 + 96j
    found = Arap(mesh, handles).deformed(rest, turned[handles])
    assert np.abs(found - turned).max() < 0.1 * np.abs(turned - rest).max()
    edges = mesh.edges()
    ratio = np.abs(np.diff(found[edges])) / np.abs(np.diff(rest[edges]))
    assert np.quantile(np.maximum(ratio, 1 / ratio), 0.95) < 1.05


def test_a_pulled_handle_bends_more_than_it_stretches(mesh, rest):
    handles = ends(rest)
    places = rest[handles].copy()
    places[0] += 15
    found = Arap(mesh, handles).deformed(rest, places)
    assert abs(found[handles[0]] - places[0]) < 3
    edges = mesh.edges()
    ratio = np.abs(np.diff(found[edges])) / np.abs(np.diff(rest[edges]))
    assert np.quantile(np.maximum(ratio, 1 / ratio), 0.95) < 1.15
