"""Mesh and point cloud files: glTF that stands upright, NumPy archive, PLY."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch

from ds4d.errors import UserError
from ds4d.mesh.io import (
    load_glb,
    load_npz,
    load_points_ply,
    save_glb,
    save_npz,
    save_points_ply,
)
from ds4d.mesh.mesh import Mesh


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


def test_npz_round_trip_is_exact(tmp_path):
    save_npz(tmp_path / "surface.npz", tetrahedron())
    loaded = load_npz(tmp_path / "surface.npz")
    for name, part in vars(tetrahedron()).items():
        assert torch.equal(getattr(loaded, name), part)


def test_npz_of_numpy_arrays_in_any_order_is_read(tmp_path):
    """Archives of earlier versions were written by NumPy alone."""
    arrays = {name: part.numpy() for name, part in vars(tetrahedron()).items()}
    np.savez_compressed(tmp_path / "surface.npz", **dict(reversed(arrays.items())))
    loaded = load_npz(tmp_path / "surface.npz")
    assert torch.equal(loaded.faces, tetrahedron().faces)
    assert torch.equal(loaded.vertices, tetrahedron().vertices)


def cloud(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random points [count, 3] and colours [count, 3]."""
    return torch.rand(2, count, 3, generator=torch.Generator().manual_seed(0)).unbind(0)


def test_ply_round_trip(tmp_path):
    points, colors = cloud(100)
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
    points, colors = cloud(10)
    save_points_ply(path, points, colors)
    path.write_bytes(path.read_bytes()[:-15])
    with pytest.raises(UserError):
        load_points_ply(path)
    path.write_bytes(b"not a ply at all")
    with pytest.raises(UserError):
        load_points_ply(path)
