"""Triangles over a cut-out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ds4d.animate.puppet.mesh import Mesh, triangulate
from tests.animate.figures import animal, person, pot


def covered(mesh: Mesh, shape: tuple[int, int]) -> np.ndarray:
    """Pixels [H, W] bool that any triangle covers."""
    area = np.zeros(shape, np.uint8)
    for triangle in mesh.vertices[mesh.triangles]:
        cv2.fillConvexPoly(area, (triangle * 16).round().astype(np.int32), 1, shift=4)
    return area > 0


@pytest.mark.parametrize("figure", [person, animal, pot])
def test_everything_visible_is_covered(figure):
    alpha = figure()[..., 3]
    assert covered(triangulate(alpha), alpha.shape)[alpha > 8].mean() > 0.999


def test_the_gap_between_two_legs_stays_open():
    alpha = person()[..., 3]
    area = covered(triangulate(alpha), alpha.shape)
    assert not area[150:165, 96].any()


def test_every_vertex_is_used_and_edges_are_listed_once():
    mesh = triangulate(pot()[..., 3])
    np.testing.assert_array_equal(np.unique(mesh.triangles), np.arange(len(mesh.vertices)))
    edges = mesh.edges()
    assert len(np.unique(edges, axis=0)) == len(edges) and (edges[:, 0] < edges[:, 1]).all()
    # Euler's formula for a disc
    assert len(mesh.vertices) - len(edges) + len(mesh.triangles) == 1
