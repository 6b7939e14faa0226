"""Choice of the mesh engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ds4d import mesh
from ds4d.config import MachineConfig, MeshConfig
from ds4d.errors import UserError

NO_FILE = Path("nowhere.npz")


def test_auto_takes_the_visual_hull_without_networks():
    engine = mesh.choose(MeshConfig(), MachineConfig(device="cpu"), "inflate", NO_FILE)
    assert engine.name == "visual_hull" and "inflate" in engine.why


def test_a_missing_mesh_is_an_error(tmp_path):
    machine = MachineConfig(device="cpu")
    with pytest.raises(UserError, match="No mesh was given"):
        mesh.choose(MeshConfig(engine="given"), machine, "inflate", NO_FILE)
    with pytest.raises(UserError, match="There is no mesh"):
        mesh.choose(MeshConfig(file=str(tmp_path / "cat.glb")), machine, "inflate", NO_FILE)
    with pytest.raises(UserError, match="not rendered from a mesh"):
        mesh.choose(MeshConfig(engine="inflated"), machine, "given", NO_FILE)
