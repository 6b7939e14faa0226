"""The mesh of an inflated object, taken over from the multiview stage."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ds4d.cameras import rig_cameras
from ds4d.config import MachineConfig, MeshConfig
from ds4d.errors import UserError
from ds4d.mesh import choose
from ds4d.mesh.io import save_npz
from ds4d.mesh.mesh import Mesh
from tests.mesh import boxes
from tests.stages import finished

CAMERAS = rig_cameras(64)


def test_the_saved_mesh_comes_back_unchanged(tmp_path):
    save_npz(tmp_path / "surface.npz", boxes.mesh())
    engine = choose(MeshConfig(), MachineConfig(device="cpu"), "inflate", tmp_path / "surface.npz")
    events, mesh = finished(engine.run(boxes.views(CAMERAS), CAMERAS, 96))
    assert engine.name == "inflated"
    assert torch.equal(mesh.vertices, boxes.mesh().vertices)
    assert torch.equal(mesh.colors, boxes.mesh().colors)
    assert events[-1].step == events[-1].total and events[-1].preview is not None


def test_a_frame_without_an_object_is_an_error(tmp_path):
    empty = Mesh.from_arrays(np.zeros((0, 3)), np.zeros((0, 3), int), np.zeros((0, 3)))
    save_npz(tmp_path / "surface.npz", empty)
    engine = choose(MeshConfig(), MachineConfig(device="cpu"), "inflate", tmp_path / "surface.npz")
    with pytest.raises(UserError, match="No object"):
        finished(engine.run(boxes.views(CAMERAS), CAMERAS, 96))
