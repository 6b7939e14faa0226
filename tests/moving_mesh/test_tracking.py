"""Tracking: the mesh follows the surface, one limb to each, without folds."""

from __future__ import annotations

import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
import trimesh

from ds4d.cameras import orbit_cameras
from ds4d.config import ExportConfig
from ds4d.moving_mesh.geometry import Surface, face_normals
from ds4d.moving_mesh.make import NoSurface, make
from ds4d.moving_mesh.tracking import track, transport
from tests.export.balls import balls


def value(making):
    while True:
        try:
            next(making)
        except StopIteration as end:
            return end.value


def asset(*frames, cameras: int = 4) -> SimpleNamespace:
    """A stand-in for an asset: Gaussians per frame, seen from all sides."""
    positions = torch.linspace(0, 1, len(frames))
    return SimpleNamespace(
        positions=positions,
        cameras=orbit_cameras(np.arange(cameras) * 360 / cameras, size=64),
        splats=lambda position: frames[round(position * (len(frames) - 1))],
    )


def bending(*bends: float) -> SimpleNamespace:
    """A row of balls that bends to one side, with the bend of each frame."""
    row = np.linspace(-0.3, 0.3, 13).tolist()
    return asset(
        *(balls(*((x, bend * x * abs(x) / 0.3, 0.0) for x in row), sigma=0.05) for bend in bends)
    )


@pytest.fixture(scope="module")
def snake():
    return bending(0.0, 0.1, 0.2, 0.3)


@pytest.fixture(scope="module")
def moving(snake):
    return value(make(snake, ExportConfig(triangles=2000, texture=128)))


def test_the_mesh_has_one_closed_surface_outside_out(moving):
    surface = moving.surface(moving.rest)
    _, point = np.unique(surface.vertices.round(6), axis=0, return_inverse=True)
    shape = trimesh.Trimesh(surface.vertices, surface.faces, process=True, merge_tex=True)
    assert point.max() < len(surface.vertices)
    assert shape.is_watertight and shape.volume > 0 and shape.body_count == 1
    assert 1000 < len(surface.faces) <= 2000


def test_it_is_where_every_frame_shows_it(moving, snake):
    """From the side, too, from which no image was used."""
    from ds4d.moving_mesh.rendering import render
    from ds4d.render.turntable import cut_out

    cameras = orbit_cameras([45, 225], [30, -30], size=96)
    for frame, position in enumerate(snake.positions.tolist()):
        shown = cut_out(snake.splats(position), cameras)[..., 3] > 127
        drawn = render(moving, frame, cameras)[..., 3] > 127
        assert (shown & drawn).sum() > 0.85 * (shown | drawn).sum()


def test_no_triangle_is_flipped_or_collapsed(moving):
    areas = np.linalg.norm(face_normals(moving.vertices, moving.faces), axis=-1)
    assert (areas > 0.05 * areas[moving.rest]).all()
    for frame in range(len(moving.vertices)):
        assert trimesh.Trimesh(moving.vertices[frame], moving.faces).volume > 0


def test_the_texture_has_the_colour_of_the_gaussians(moving):
    from ds4d.moving_mesh.rendering import render
    from tests.export.balls import COLOR

    images = render(moving, 0, orbit_cameras([0, 180], size=64))
    inside = images[..., 3] == 255
    assert inside.sum() > 200
    assert np.abs(images[inside][:, :3] / 255 - COLOR).max() < 0.06


def test_two_limbs_go_to_a_limb_each():
    """Both are nearer to the same one; every goal has to be reached."""
    points, goals = np.array([[0.0, 0, 0], [0.03, 0, 0]]), np.array([[0.02, 0, 0], [0.06, 0, 0]])
    cost = ((points[:, None] - goals) ** 2).sum(-1)
    assert cost.argmin(1).tolist() == [0, 0]
    assert transport(cost, goals, 0.015) == pytest.approx(goals, abs=0.01)


def test_nothing_is_left_in_memory():
    """Of many clips one after the other: solvers are freed only by the thread that made them.

    In a process of its own, whose memory no other test has taken or given back.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        assert fresh.submit(memory_left, 4).result() < 60e6


def memory_left(times: int) -> int:
    """Bytes by which this process grows while meshes are made, after the first."""
    snake, config = bending(0.0, 0.1, 0.2, 0.3), ExportConfig(triangles=2000, texture=128)
    sizes = []
    for _ in range(1 + times):
        value(make(snake, config))
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss)
    return sizes[-1] - sizes[0]


def test_a_frame_without_a_surface_keeps_the_mesh_where_it_was():
    ball = trimesh.creation.icosphere(3, 0.1)
    mesh = Surface(np.asarray(ball.vertices), np.asarray(ball.faces))
    frames = [balls((0.0, 0, 0))] * 2
    vertices = value(track(mesh, 0, frames, [mesh, None])).vertices(mesh)
    assert np.allclose(vertices[0], vertices[1]) and vertices.shape == (2, *mesh.vertices.shape)


def test_an_object_too_faint_has_no_mesh():
    faint = asset(balls((0.0, 0, 0), opacity=0.1), balls((0.0, 0, 0), opacity=0.1))
    with pytest.raises(NoSurface):
        value(make(faint, ExportConfig()))
