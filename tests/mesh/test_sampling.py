"""Point sampling: uniform by area, reproducible."""

from __future__ import annotations

import torch

from ds4d.mesh.mesh import Mesh
from ds4d.mesh.sampling import JITTER, resample_cloud, sample_points


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


def test_samples_depend_on_the_generator_only():
    first, again, other = (sample_points(two_triangles(), 50, seeded(s))[0] for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_points_repeat_only_where_the_cloud_is_too_small():
    points = torch.arange(30).float().view(10, 3)
    few, _ = resample_cloud(points, points, 7, seeded(0))
    assert len(few.unique(dim=0)) == 7
    many, colors = resample_cloud(points, points, 25, seeded(0))
    assert many.shape == (25, 3) and len(many[:10].unique(dim=0)) == 10
    assert 0 < (many - colors).abs().max() < 6 * JITTER
