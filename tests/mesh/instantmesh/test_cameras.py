"""Cameras in InstantMesh's conventions."""

from __future__ import annotations

import torch

from ds4d.cameras import orbit_cameras, project
from ds4d.mesh.instantmesh.cameras import ROTATION, camera_vectors, from_instantmesh, to_instantmesh


def test_camera_vectors_and_our_cameras_see_the_same():
    """A place, turned into InstantMesh's world, meets the same pixel of the same camera there."""
    generator = torch.Generator().manual_seed(0)
    cameras = orbit_cameras([0.0, 40.0, 200.0], [0.0, 35.0, -20.0], size=80, radius=2.5, fov_deg=40)
    points = torch.rand(50, 3, generator=generator) - 0.5
    assert torch.allclose(from_instantmesh(to_instantmesh(points)), points, atol=1e-6)
    assert torch.allclose(ROTATION @ ROTATION.T, torch.eye(3))
    assert torch.linalg.det(ROTATION) > 0  # a turn, never a mirror image

    pixels, _ = project(points, cameras)
    for camera, vector in enumerate(camera_vectors(cameras)):
        to_world, (fx, fy, cx, cy) = vector[:12].reshape(3, 4), vector[12:]
        seen = (to_instantmesh(points) - to_world[:, 3]) @ to_world[:, :3]  # OpenGL axes
        u = 80 * (fx * seen[:, 0] / -seen[:, 2] + cx)
        v = 80 * (cy - fy * seen[:, 1] / -seen[:, 2])
        assert torch.allclose(torch.stack([u, v], -1), pixels[camera], atol=1e-3)
