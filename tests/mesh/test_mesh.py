"""The mesh file: upright, facing the viewer, in the right colours."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch

from ds4d import mesh
from ds4d.config import MachineConfig, MeshConfig
from ds4d.errors import UserError
from ds4d.mesh import Mesh, load_glb, save_glb

NO_SURFACE = Path("nowhere.npz")


def tetrahedron() -> Mesh:
    """Vertices at the front bottom left, at the right, at the back, and on top."""
    vertices = torch.tensor([[-0.3, -0.4, 0], [0.3, 0, 0], [0, 0.2, 0.05], [0, 0, 0.45]])
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
    colors = torch.tensor([[1.0, 0, 0], [0, 0.5, 0], [0.2, 0.2, 0.9], [1, 1, 1]])
    return Mesh(vertices, faces, colors)


def test_glb_round_trip(tmp_path):
    save_glb(tmp_path / "mesh.glb", tetrahedron())
    loaded = load_glb(tmp_path / "mesh.glb")
    assert torch.allclose(loaded.vertices, tetrahedron().vertices, atol=1e-6)
    assert torch.equal(loaded.faces, tetrahedron().faces)
    assert torch.allclose(loaded.colors, tetrahedron().colors, atol=0.01)


def test_glb_is_y_up_and_faces_the_viewer(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    save_glb(tmp_path / "mesh.glb", tetrahedron())
    shape = trimesh.load_mesh(tmp_path / "mesh.glb", process=False)
    assert shape.vertices[:, 1].argmax() == 3  # the top is up (+Y)
    assert shape.vertices[:, 2].argmax() == 0  # the front (our -Y) is towards the viewer (+Z)
    assert shape.vertices[:, 0].argmax() == 1  # right stays right: it is not mirrored
    assert shape.volume > 0


def test_glb_is_unlit_with_linear_colours(tmp_path):
    save_glb(tmp_path / "mesh.glb", tetrahedron())
    data = (tmp_path / "mesh.glb").read_bytes()
    tree = json.loads(data[20 : 20 + struct.unpack("<I", data[12:16])[0]])
    primitive = tree["meshes"][0]["primitives"][0]
    material = tree["materials"][primitive["material"]]
    assert "KHR_materials_unlit" in material["extensions"]
    trimesh = pytest.importorskip("trimesh")
    shape = trimesh.load_mesh(tmp_path / "mesh.glb", process=False, skip_materials=True)
    assert abs(int(shape.visual.vertex_colors[1, 1]) - 55) <= 1  # sRGB 0.5 is linear 0.214


def test_auto_carves_where_no_network_can_run():
    engine = mesh.choose(MeshConfig(), MachineConfig(device="cpu"), "inflate", NO_SURFACE)
    assert engine.name == "visual_hull" and "inflate" in engine.why


def test_a_mesh_that_was_asked_for_has_to_be_there(tmp_path):
    machine = MachineConfig(device="cpu")
    with pytest.raises(UserError, match="No mesh was given"):
        mesh.choose(MeshConfig(engine="given"), machine, "inflate", NO_SURFACE)
    with pytest.raises(UserError, match="There is no mesh"):
        mesh.choose(MeshConfig(file=str(tmp_path / "cat.glb")), machine, "inflate", NO_SURFACE)
    with pytest.raises(UserError, match="not drawn from a surface"):
        mesh.choose(MeshConfig(engine="inflated"), machine, "given", NO_SURFACE)
