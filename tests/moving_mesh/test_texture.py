"""Baking: colours arrive where cameras see them, and unseen places take those of near ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from ds4d.cameras import orbit_cameras
from ds4d.mesh.mesh import Mesh
from ds4d.mesh.visibility import hits, visible_faces
from ds4d.moving_mesh.evidence import Evidence
from ds4d.moving_mesh.geometry import Surface
from ds4d.moving_mesh.model import Material, MovingMesh, Part
from ds4d.moving_mesh.rendering import render
from ds4d.moving_mesh.texture import bake, jpeg, unwrap

RED, BLUE = (220, 40, 30), (30, 60, 210)


@pytest.fixture(scope="module")
def ball() -> Surface:
    shape = trimesh.creation.icosphere(3, 0.3)
    return Surface(np.asarray(shape.vertices), np.asarray(shape.faces))


@pytest.fixture(scope="module")
def atlas(ball):
    return unwrap(ball, 128)


def half_and_half(ball: Surface, cameras) -> np.ndarray:
    """Images [C, S, S, 4] of the ball, red on the right and blue on the left of the world."""
    faces = torch.from_numpy(ball.faces)
    mesh = Mesh(torch.from_numpy(ball.vertices).float(), faces, torch.zeros(0, 3))
    visible = visible_faces(mesh, cameras)
    right = ball.vertices[ball.faces].mean(1)[visible][..., 0] > 0
    images = np.zeros((*visible.shape, 4), np.uint8)
    images[..., :3] = np.where(right[..., None], RED, BLUE)
    images[..., 3] = 255 * (visible >= 0)
    return images


def textured(ball: Surface, atlas, texture: np.ndarray) -> MovingMesh:
    part = Part(0, len(atlas.vertex), atlas.faces, Material(jpeg(texture)), atlas.uv)
    return MovingMesh(ball.vertices[atlas.vertex][None], (part,), 0)


def test_each_side_gets_its_colour(ball, atlas):
    cameras = orbit_cameras([0, 90, 180, 270], size=96)
    images = half_and_half(ball, cameras)
    evidence = Evidence(images[None], cameras, np.ones(4))
    texture = bake(atlas, ball.vertices[None], ball.vertices, evidence, 128)
    found = render(textured(ball, atlas, texture), 0, cameras)
    inside = (found[..., 3] == 255) & (images[..., 3] == 255)
    apart = np.abs(found[..., :3].astype(int) - images[..., :3]).max(-1)
    assert (apart[inside] < 30).mean() > 0.9


def test_what_no_camera_sees_takes_the_colour_of_the_nearest_place(ball, atlas):
    front = orbit_cameras([0], size=96)
    images = half_and_half(ball, front)
    evidence = Evidence(images[None], front, np.ones(1))
    texture = bake(atlas, ball.vertices[None], ball.vertices, evidence, 128)
    (back,) = render(textured(ball, atlas, texture), 0, orbit_cameras([180], size=96))
    middle = back[30:66]
    assert np.abs(middle[:, 62].mean(0)[:3] - BLUE).max() < 40  # seen from behind, left is right
    assert np.abs(middle[:, 34].mean(0)[:3] - RED).max() < 40


def test_a_trusted_view_wins(ball, atlas):
    cameras = orbit_cameras([0, 0], size=96)
    images = half_and_half(ball, cameras)
    images[0, ..., :3], images[1, ..., :3] = 200, 0
    evidence = Evidence(images[None], cameras, np.array([4.0, 1.0]))
    texture = bake(atlas, ball.vertices[None], ball.vertices, evidence, 128)
    assert np.median(texture) == pytest.approx(160, abs=3)


def test_weights_of_corners_give_back_the_place_that_a_pixel_shows(ball):
    cameras = orbit_cameras([30], [20], size=64)
    faces = torch.from_numpy(ball.faces)
    mesh = Mesh(torch.from_numpy(ball.vertices).float(), faces, torch.zeros(0, 3))
    found = hits(mesh, cameras)
    visible, weights, depth = found.faces, found.weights, found.depth
    rows, columns = np.nonzero(visible[0] >= 0)
    corners = ball.vertices[ball.faces[visible[0, rows, columns]]]
    places = (weights[0, rows, columns][..., None] * corners).sum(1)
    seen = places @ cameras.viewmats[0, :3, :3].numpy().T + cameras.viewmats[0, :3, 3].numpy()
    pixels = seen @ cameras.Ks[0].numpy().T
    assert np.allclose(seen[:, 2], depth[0, rows, columns], atol=1e-4)
    assert np.allclose(pixels[:, 0] / pixels[:, 2], columns + 0.5, atol=1e-2)
    assert np.isinf(depth[visible < 0]).all()
