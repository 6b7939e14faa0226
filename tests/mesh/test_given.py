"""The user's own mesh: aligned, oriented, and painted where it has no colours."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import trimesh

from ds4d.cameras import rig_cameras
from ds4d.mesh.given import orient_faces, paint, run
from ds4d.mesh.io import load_glb, save_glb
from ds4d.mesh.mesh import Mesh
from ds4d.mesh.read import load
from ds4d.mesh.sampling import sample_points
from tests.mesh import boxes
from tests.stages import finished

CAMERAS = rig_cameras(128)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return boxes.views(CAMERAS)


def check_colors(mesh: Mesh) -> None:
    for low, high, color in boxes.THING:
        assert torch.allclose(boxes.color_at(mesh, low), torch.tensor(color), atol=0.02)
        assert torch.allclose(boxes.color_at(mesh, high), torch.tensor(color), atol=0.02)


def bounds(mesh: Mesh) -> torch.Tensor:
    return torch.stack([mesh.vertices.amin(0), mesh.vertices.amax(0)])


# The way from a file to its place


@pytest.mark.parametrize("ending", ["glb", "obj", "ply"])
def test_a_mesh_is_aligned_with_the_views(tmp_path, images, ending):
    """Lying on its side, upside down, and in millimetres."""
    turned = np.array([[0.0, -1, 0], [0, 0, 1], [-1, 0, 0]])
    scene = boxes.trimesh_scene(turned, 1000.0, (40.0, 5000.0, -7.0))
    file = tmp_path / f"thing.{ending}"
    (scene if ending == "glb" else scene.to_mesh()).export(file)
    events, mesh = finished(run(images, CAMERAS, 96, file=file))
    assert (bounds(mesh) - bounds(boxes.mesh())).abs().max() < 0.005
    assert events[-1].step == events[-1].total > 0
    assert not any(event.warning for event in events)
    assert boxes.volume(mesh) == pytest.approx(boxes.volume(boxes.mesh()), rel=0.05)
    check_colors(mesh)  # also of glb, into which trimesh writes sRGB without a word
    points, colors, normals = sample_points(mesh, 500, torch.Generator().manual_seed(0))
    assert torch.isfinite(points).all() and torch.isfinite(normals).all()


def test_a_mesh_of_this_program_is_read_back(tmp_path, images):
    save_glb(tmp_path / "ours.glb", boxes.mesh())
    _, mesh = finished(run(images, CAMERAS, 96, file=tmp_path / "ours.glb"))
    assert (bounds(mesh) - bounds(boxes.mesh())).abs().max() < 0.005
    check_colors(mesh)
    assert torch.allclose(mesh.colors, load_glb(tmp_path / "ours.glb").colors, atol=1e-6)


def test_a_mesh_without_colours_is_painted_by_the_views(tmp_path, images):
    fine = trimesh.util.concatenate(
        [trimesh.Trimesh(g.vertices, g.faces).subdivide().subdivide().subdivide()
         for g in boxes.trimesh_scene().geometry.values()]
    )  # fmt: skip
    fine.export(tmp_path / "grey.obj")
    events, mesh = finished(run(images, CAMERAS, 96, file=tmp_path / "grey.obj"))
    assert any(event.warning and "no colours" in event.message for event in events)
    for place, (_, _, color) in zip(
        ((-0.15, -0.1, -0.05), (0.22, -0.08, 0.2), (-0.26, 0.3, 0.03)), boxes.THING, strict=True
    ):
        assert torch.allclose(boxes.color_at(mesh, place), torch.tensor(color), atol=0.1)


def test_the_front_view_dominates_painted_colours(images):
    other = images.copy()
    other[1:, ..., :3] = 255 - other[1:, ..., :3]
    mesh = paint(boxes.mesh(), other, CAMERAS)
    front = boxes.color_at(mesh, (-0.30, -0.10, 0.05))
    assert (front - torch.tensor(boxes.THING[0][2])).abs().max() < 0.3


def test_inverted_components_are_flipped(tmp_path):
    scene = boxes.trimesh_scene()
    names = list(scene.geometry)
    scene.geometry[names[1]].invert()  # the head alone
    scene.to_mesh().export(tmp_path / "mixed.ply")
    mesh, _, _ = load(tmp_path / "mixed.ply")
    whole = boxes.volume(boxes.normalized(boxes.mesh()))
    assert boxes.volume(mesh) < 0.9 * whole
    assert boxes.volume(orient_faces(mesh)) == pytest.approx(whole, rel=1e-3)
    mesh = boxes.normalized(boxes.mesh())
    assert torch.equal(orient_faces(mesh).faces, mesh.faces)


def test_closing_the_stage_cancels_it(tmp_path, images):
    boxes.trimesh_scene().export(tmp_path / "thing.glb")
    stage = partial(run, file=tmp_path / "thing.glb")(images, CAMERAS, 96)
    for _ in range(6):
        next(stage)
    stage.close()
    with pytest.raises(StopIteration):
        next(stage)
