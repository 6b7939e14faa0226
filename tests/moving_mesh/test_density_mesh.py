"""Isosurface of Gaussians: at its level, oriented, closed, without cavities or floaters."""

from __future__ import annotations

import math

import pytest
import torch

from ds4d.moving_mesh.density_mesh import LEVEL, density_mesh
from ds4d.splatting.splats import Splats
from tests.export.balls import balls


@pytest.mark.parametrize("opacity", [0.95, 0.7])
def test_the_surface_lies_where_the_density_has_its_level(opacity):
    mesh = density_mesh(balls((0.1, 0.0, -0.1), opacity=opacity), 0.02)
    radius = 0.1 * math.sqrt(2 * math.log(opacity / LEVEL))
    distances = (mesh.vertices - torch.tensor([0.1, 0.0, -0.1])).norm(dim=1)
    assert distances.numpy() == pytest.approx(radius, abs=0.005)


def test_turned_gaussians_are_turned():
    """A rod along x, turned by 90 degrees about z, lies along y."""
    half = math.sqrt(0.5)
    rod = Splats(
        torch.zeros(1, 3), torch.tensor([[half, 0, 0, half]]), torch.tensor([[0.2, 0.05, 0.02]]),
        torch.ones(1), torch.rand(1, 3),
    )  # fmt: skip
    reach = math.sqrt(2 * math.log(1 / LEVEL))
    extent = density_mesh(rod, 0.01).vertices.abs().amax(0)
    assert extent.numpy() == pytest.approx([0.05 * reach, 0.2 * reach, 0.02 * reach], abs=0.005)


def test_a_hollow_shell_has_no_inner_surface():
    directions = torch.nn.functional.normalize(
        torch.randn(3000, 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    shell = balls(*map(tuple, (0.3 * directions).tolist()), sigma=0.02)
    mesh = density_mesh(shell, 0.02)
    assert mesh.vertices.norm(dim=1).min() > 0.3


def test_what_flew_away_does_not_make_the_grid_huge():
    mesh = density_mesh(balls((0.0, 0.0, 0.0), (300.0, 0.0, 0.0)), 0.02)
    assert mesh.vertices.abs().max() < 0.2
