"""Rasterization by index, compared with rays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ds4d.cameras import rig_cameras
from ds4d.mesh.visibility import visible_faces
from tests.mesh import boxes

CAMERAS = rig_cameras(128)


def test_visible_faces_agree_with_rays():
    """The image of the mesh is that of rays through the same boxes, except for rims."""
    images, mesh = boxes.views(CAMERAS), boxes.mesh()
    visible = visible_faces(mesh, CAMERAS)
    rendered = (mesh.colors[mesh.faces[:, 0]].numpy()[visible] * 255).round()
    rendered[visible < 0] = 0
    assert (np.abs(rendered - images[..., :3]).max(-1) <= 1).mean() > 0.9999


def test_faces_behind_a_camera_are_not_visible():
    mesh = boxes.mesh()
    behind = replace(mesh, vertices=mesh.vertices + torch.tensor([0.0, -4.0, 0.0]))
    assert (visible_faces(behind, CAMERAS[0]) == -1).all()
