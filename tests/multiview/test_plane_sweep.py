"""Plane sweep stereo on renders of known Gaussians."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ds4d.cameras import Cameras, orbit_cameras
from ds4d.errors import UserError
from ds4d.multiview import plane_sweep
from ds4d.splatting.splats import render
from tests.fakes.capture import room

SIZE = 64


def test_parallel_cameras_in_a_grid_find_the_surfaces():
    """A film rig: side by side, all in the same direction."""
    base = orbit_cameras([8], 14, size=SIZE, radius=2.0, fov_deg=50)
    viewmats = base.viewmats.repeat(6, 1, 1)
    right, up = torch.tensor([-0.4, 0.0, 0.4]), torch.tensor([-0.1, 0.1])
    viewmats[:, :2, 3] -= torch.cartesian_prod(right, up)
    cameras = Cameras(viewmats, base.Ks.repeat(6, 1, 1), SIZE, SIZE)
    rgb = render(room(0.5), cameras, background=0.0)[0].clamp(0, 1)
    images = (torch.cat([rgb, torch.ones_like(rgb[..., :1])], -1) * 255).round().byte().numpy()
    points, _ = plane_sweep.points(images, cameras)
    near = points[points.norm(dim=-1) < 1]
    distance = torch.cdist(near, room(0.5).means).min(1).values
    assert len(near) > 2000 and distance.median() < 0.05


def test_unrelated_images_and_equal_poses_are_errors():
    cameras = orbit_cameras([-40, -20, 0, 20, 40], 15, size=SIZE)
    noise = np.random.default_rng(0).integers(0, 255, (5, SIZE, SIZE, 4), np.uint8)
    noise[..., 3] = 255
    with pytest.raises(UserError, match="hardly match"):
        plane_sweep.points(noise, cameras)
    with pytest.raises(UserError, match="same position"):
        same = Cameras(cameras.viewmats[:1].repeat(5, 1, 1), cameras.Ks, SIZE, SIZE)
        plane_sweep.points(noise, same)
