"""The user's own mesh as the topology: its vertices, uv and materials, where it was placed."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from ds4d.export.animated_glb import write_morphing
from ds4d.mesh.io import linear_to_srgb, save_glb
from ds4d.mesh.mesh import Mesh
from ds4d.mesh.read import load
from ds4d.moving_mesh import given
from ds4d.moving_mesh.given import place_given, read_given, similarity


@pytest.fixture
def file(tmp_path):
    """Two parts: a textured box, and a red ball beside it."""
    box = trimesh.creation.box((1, 2, 3))
    picture = Image.new("RGB", (8, 8), (10, 200, 30))
    box.visual = trimesh.visual.TextureVisuals(
        np.random.default_rng(0).random((len(box.vertices), 2)),
        trimesh.visual.material.PBRMaterial(baseColorTexture=picture),
    )
    ball = trimesh.creation.icosphere(1, 0.5).apply_translation([2, 0, 0])
    ball.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 0, 0, 255])
    )
    path = tmp_path / "mesh.glb"
    trimesh.Scene({"box": box, "ball": ball}).export(path)
    return path


def test_vertices_uv_and_materials_are_kept(file):
    scene, mesh = trimesh.load_scene(file, process=False), read_given(file)
    counts = [len(scene.geometry[name].vertices) for name in ("box", "ball")]
    assert sorted(part.stop - part.start for part in mesh.parts) == sorted(counts)
    (textured,) = [part for part in mesh.parts if part.material.image]
    (plain,) = [part for part in mesh.parts if not part.material.image]
    assert np.allclose(textured.uv[:, 1], 1 - scene.geometry["box"].visual.uv[:, 1], atol=1e-6)
    assert plain.material.color == pytest.approx((1, 0, 0, 1), abs=0.01)
    assert not textured.material.unlit


def test_colours_that_contain_the_light_stay_as_they_are(tmp_path):
    ball = trimesh.creation.icosphere(1, 0.5)
    colors = torch.linspace(0.1, 0.9, 3 * len(ball.vertices)).reshape(-1, 3)
    vertices, faces = torch.tensor(ball.vertices).float(), torch.tensor(ball.faces)
    save_glb(tmp_path / "ball.glb", Mesh(vertices, faces, colors))
    mesh = read_given(tmp_path / "ball.glb")
    (part,) = mesh.parts
    assert part.material.unlit
    assert np.allclose(linear_to_srgb(part.colors[:, :3]), colors, atol=0.02)
    write_morphing(tmp_path / "again.glb", mesh, [0.0])
    again = read_given(tmp_path / "again.glb")
    assert again.parts[0].material.unlit
    assert np.allclose(again.parts[0].colors, part.colors, atol=0.01)


def test_it_is_placed_as_the_mesh_stage_placed_it(file):
    plain, _, _ = load(file)
    turn, shift = Rotation.from_rotvec([0, 0, 0.5]).as_matrix(), np.array([0.1, 0.2, -0.05])
    moved = 0.7 * plain.vertices.numpy() @ turn.T + shift
    aligned = Mesh(torch.from_numpy(moved).float(), plain.faces, plain.colors)
    placed = place_given(file, aligned)
    bounds = placed.vertices[0].min(0), placed.vertices[0].max(0)
    assert np.allclose(bounds, (moved.min(0), moved.max(0)), atol=1e-4)


def test_other_textures_and_factors_are_kept(file, tmp_path):
    box = trimesh.load_scene(file, process=False).geometry["box"]
    maps = {"normalTexture": (128, 128, 255), "metallicRoughnessTexture": (0, 90, 20)}
    for name, color in maps.items():
        setattr(box.visual.material, name, Image.new("RGB", (4, 4), color))
    box.visual.material.roughnessFactor = 0.7
    box.visual.material.emissiveFactor = [0, 0.5, 0]
    box.export(tmp_path / "box.glb")
    write_morphing(tmp_path / "again.glb", read_given(tmp_path / "box.glb"), [0.0])
    (back,) = read_given(tmp_path / "again.glb").parts
    found = {name: Image.open(io.BytesIO(data)) for name, data in back.material.others}
    assert {name: image.getpixel((0, 0)) for name, image in found.items()} == maps
    assert back.material.roughness == pytest.approx(0.7)
    assert back.material.metallic == 1  # as the format has it, beside a texture of it
    assert back.material.glow == pytest.approx((0, 0.5, 0))


def test_a_mirrored_cloud_is_not_matched_by_a_mirror():
    points = np.random.default_rng(0).normal(size=(50, 3))
    _, rotation, _ = similarity(points, points * [-1, 1, 1])
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_a_mesh_too_dense_to_be_animated_is_named(file, monkeypatch):
    monkeypatch.setattr(given, "MOST_VERTICES", 20)
    with pytest.raises(given.TooDense, match="mesh.glb has more than 20 vertices"):
        read_given(file)
