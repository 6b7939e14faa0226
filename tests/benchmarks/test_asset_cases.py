"""Cases of held-out objects: motion, size and images; spoiled depth."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.asset_cases import RADIUS, centred, draw, interpolated, turned, write_mesh
from benchmarks.relief import spoiled
from ds4d.cameras import orbit_cameras
from ds4d.moving_mesh.given import read_given
from ds4d.multiview.relief.fit import slants_of
from examples.make_case import FRAMES
from tests.training.shape_prior.boxes import box


def test_the_motion_passes_through_the_stored_moments():
    moments = np.random.default_rng(0).normal(size=(8, 5, 3))
    frames = interpolated(moments)
    assert len(frames) == FRAMES
    np.testing.assert_allclose(frames[[0, -1]], moments[[0, -1]])
    straight = interpolated(np.linspace(0, 1, 8)[:, None, None] * np.ones((1, 2, 3)))
    assert (np.diff(straight[:, 0, 0]) > 0).all()


def test_objects_are_centred_and_fill_the_image():
    poses = centred(box().poses + [3.0, 0.0, 1.0])
    np.testing.assert_allclose(poses.min((0, 1)), -poses.max((0, 1)), atol=1e-6)
    assert abs(np.linalg.norm(poses, axis=-1).max() - RADIUS) < 1e-6


def test_a_turned_object_is_seen_from_its_side():
    asset = box(size=(0.6, 0.2, 0.3))
    poses = turned(asset.poses, math.radians(90))
    front, right = draw(asset, poses[0], orbit_cameras([0.0, 90.0], size=64))
    widths = [np.ptp(np.nonzero(image[..., 3] > 127)[1]) for image in (front, right)]
    assert widths[1] > 2.2 * widths[0]
    inside = front[..., 3] == 255
    assert front[inside][:, :3].min() > 100 and (front[..., 3] == 0).any()


def test_a_turn_is_anticlockwise_seen_from_above():
    np.testing.assert_allclose(turned(np.array([1.0, 0.0, 0.0]), math.pi / 2), [0, 1, 0], atol=1e-6)


def test_depth_without_noise_keeps_its_slant_up_to_scale():
    columns = (np.arange(64) + 0.5) / 64 - 0.5
    depths = np.tile(0.5 * columns, (12, 64, 1))
    insides = np.zeros((12, 64, 64), bool)
    insides[:, 16:48, 8:56] = True
    assert abs(math.tan(slants_of(depths, insides).mean()) - 0.5) < 1e-6
    found = np.median(slants_of(spoiled(depths, insides, 0.0), insides))
    assert abs(math.tan(found) - 0.5) < 0.15
    noisy = spoiled(depths, insides, 0.06)
    assert np.abs(noisy - spoiled(depths, insides, 0.0))[insides].mean() > 0.02


def test_the_mesh_of_a_case_has_the_vertices_of_its_tracks(tmp_path):
    asset = box()
    asset.face_colors[:6] = [250, 0, 0]
    poses = asset.poses + np.linspace(-0.1, 0.1, 5)[:, None, None].astype(np.float32)
    write_mesh(tmp_path, asset, poses)
    mesh, tracks = read_given(tmp_path / "mesh_middle.glb"), np.load(tmp_path / "gt_mesh.npz")
    assert tracks["vertices"].shape == (5, *mesh.vertices.shape[1:])
    np.testing.assert_allclose(mesh.vertices[0], tracks["vertices"][2], atol=1e-3)
    corners = mesh.vertices[0][mesh.faces]
    np.testing.assert_allclose(corners, poses[2][asset.faces], atol=1e-3)
    reds = mesh.parts[0].colors[mesh.faces[:6].ravel(), 0]
    assert reds.min() > 0.9
