"""The simulation of views that agree on a wrong shape."""

from __future__ import annotations

import torch

from benchmarks.agreeing_views import bent, displacement
from ds4d.cameras import orbit_cameras, project
from ds4d.splatting.splats import Splats


def test_a_bent_shape_is_the_same_from_the_front_and_another_from_the_side():
    points = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    one = torch.ones(len(points))
    splats = Splats(points, one[:, None].expand(-1, 4), one[:, None].expand(-1, 3), one,
                    one[:, None].expand(-1, 3))  # fmt: skip
    front, side = orbit_cameras([0.0], size=64), orbit_cameras([90.0], size=64)
    moved = bent(splats, 0.02, front).means
    assert (project(points, front)[0] - project(moved, front)[0]).abs().max() < 1e-3
    assert (project(points, side)[0] - project(moved, side)[0]).abs().max() > 1
    size = (moved - points).norm(dim=-1).square().mean().sqrt()
    assert 0.01 < size < 0.03


def test_the_displacement_is_smooth_and_the_same_every_time():
    points = torch.rand(100, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    first, again = displacement()(points), displacement()(points)
    assert torch.equal(first, again)
    assert (displacement()(points + 0.001) - first).abs().max() < 0.1
