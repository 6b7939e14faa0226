"""Cutting known shapes out of their densities."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ds4d.errors import UserError
from ds4d.mesh.instantmesh.extract import LEVEL, extract_surface, sample_density
from ds4d.run.events import result

RESOLUTION = 40


def ball(place, radius):
    """Depth of places [P, 3] inside a ball, as a density that is LEVEL at its surface."""
    return lambda points: LEVEL + 100 * (radius - (points - torch.tensor(place)).norm(dim=-1))


def union(*densities):
    return lambda points: torch.stack([density(points) for density in densities]).amax(0)


def measured(density, chunk=1000) -> np.ndarray:
    sampling = sample_density(
        lambda points: density(points).clamp(min=0), RESOLUTION, chunk, torch.device("cpu")
    )
    return result(sampling)


def volume(vertices, faces) -> float:
    return float(np.linalg.det(vertices[faces].astype(np.float64)).sum() / 6)


def closed(faces) -> bool:
    """Every edge is walked once in each direction."""
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()
    forth = {tuple(edge) for edge in edges}
    return len(forth) == len(edges) and all((b, a) in forth for a, b in forth)


def test_a_ball_is_where_it_is_and_faces_outwards():
    place = np.array([0.3, -0.2, 0.1])
    vertices, faces = extract_surface(measured(ball(place, 0.4)))
    assert np.abs(np.linalg.norm(vertices - place, axis=1) - 0.4).max() < 0.01
    assert 0.97 < volume(vertices, faces) / (4 / 3 * np.pi * 0.4**3) < 1.01
    assert closed(faces)
    assert vertices.dtype == np.float32 and faces.dtype == np.int64
    assert set(faces.flatten()) == set(range(len(vertices)))


def test_axes_keep_their_order():
    """The three axes of the grid are x, y and z."""
    shape = union(ball([0.5, 0.0, 0.0], 0.2), ball([0.0, -0.5, 0.0], 0.2), ball([0.0] * 3, 0.55))
    vertices, _ = extract_surface(measured(shape))
    assert np.allclose(vertices.max(0), [0.7, 0.55, 0.55], atol=0.02)
    assert np.allclose(vertices.min(0), [-0.55, -0.7, -0.55], atol=0.02)


@pytest.mark.parametrize("chunk", [999, 64_000, 100_000])
def test_chunks_make_no_difference(chunk):
    shape = ball([0.1, 0.2, 0.3], 0.3)
    assert np.array_equal(measured(shape, chunk), measured(shape, 1000))


def test_the_largest_piece_stays():
    shape = union(ball([-0.5, 0.0, 0.0], 0.2), ball([0.4, 0.0, 0.0], 0.3))
    vertices, faces = extract_surface(measured(shape))
    assert vertices[:, 0].min() > 0.05
    assert closed(faces)


def test_a_bubble_inside_goes():
    def shell(points):
        distance = points.norm(dim=-1)
        return LEVEL + 100 * torch.minimum(0.6 - distance, distance - 0.3)

    vertices, faces = extract_surface(measured(shell))
    assert np.linalg.norm(vertices, axis=1).min() > 0.55
    assert volume(vertices, faces) > 0.8


def test_what_touches_the_block_is_closed_there():
    vertices, faces = extract_surface(measured(ball([1.0, 0.0, 0.0], 0.5)))
    assert vertices.max() <= 1
    assert closed(faces) and volume(vertices, faces) > 0


@pytest.mark.parametrize("value", [0.0, LEVEL - 1, float("nan")])
def test_no_surface_is_reported(value):
    with pytest.raises(UserError, match="found no surface") as error:
        extract_surface(np.full((8, 8, 8), value, np.float32))
    assert "visual_hull" in error.value.hint
