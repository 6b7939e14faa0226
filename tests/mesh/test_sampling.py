"""Points on a mesh: fair, reproducible, and the same after a trip to the disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ds4d.errors import UserError
from ds4d.mesh import Mesh
from ds4d.mesh.sampling import load_points_ply, sample_points, save_points_ply


def two_triangles() -> Mesh:
    """A red one of area 1/2 at z = 0 and a blue one of area 3/2 at z = 1, both facing up."""
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [3, 0, 1], [0, 1, 1]])
    colors = torch.tensor([[1.0, 0, 0]] * 3 + [[0, 0, 1.0]] * 3)
    return Mesh(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]]), colors)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_points_are_spread_by_area():
    points, colors, normals = sample_points(two_triangles(), 20_000, seeded(0))
    blue = points[:, 2] > 0.5
    assert abs(float(blue.float().mean()) - 0.75) < 0.015
    assert torch.allclose(colors[blue], torch.tensor([0.0, 0, 1]), atol=1e-6)
    assert torch.allclose(normals, torch.tensor([0.0, 0, 1]))


def test_points_are_even_within_a_triangle():
    points, _, _ = sample_points(two_triangles(), 40_000, seeded(1))
    red = points[points[:, 2] < 0.5]
    assert (red[:, :2] >= 0).all() and (red[:, 0] + red[:, 1] <= 1 + 1e-5).all()
    assert torch.allclose(red.mean(0)[:2], torch.tensor([1 / 3, 1 / 3]), atol=0.01)
    # The corner triangle cut at x > 1/2 has a quarter of the area.
    assert abs(float((red[:, 0] > 0.5).float().mean()) - 0.25) < 0.02


def test_the_generator_decides():
    first, again, other = (sample_points(two_triangles(), 50, seeded(s))[0] for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_ply_round_trip(tmp_path):
    points, colors, _ = sample_points(two_triangles(), 100, seeded(0))
    save_points_ply(tmp_path / "points.ply", points, colors)
    loaded, loaded_colors = load_points_ply(tmp_path / "points.ply")
    assert torch.equal(loaded, points)
    assert torch.allclose(loaded_colors, colors, atol=0.5 / 255 + 1e-6)


def test_other_programs_read_the_ply(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    points = torch.tensor([[0.1, 0.2, 0.3], [-0.4, 0.5, -0.6]])
    colors = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.2]])
    save_points_ply(tmp_path / "points.ply", points, colors)
    cloud = trimesh.load(tmp_path / "points.ply")
    assert np.allclose(cloud.vertices, points)
    assert cloud.colors[:, :3].tolist() == [[255, 0, 0], [0, 255, 51]]


def test_a_cut_or_foreign_ply_is_refused(tmp_path):
    path = tmp_path / "points.ply"
    points, colors, _ = sample_points(two_triangles(), 10, seeded(0))
    save_points_ply(path, points, colors)
    path.write_bytes(path.read_bytes()[:-15])
    with pytest.raises(UserError):
        load_points_ply(path)
    path.write_bytes(b"not a ply at all")
    with pytest.raises(UserError):
        load_points_ply(path)
