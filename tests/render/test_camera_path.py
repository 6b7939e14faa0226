"""Camera path of a capture: past all cameras, upright, with undistorted images."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ds4d.cameras import Cameras, concatenate, orbit_cameras, project
from ds4d.config import VideoConfig
from ds4d.render import camera_path, turntable
from tests.fakes.capture import HELD_OUT, camera

SIZE = 64


@pytest.fixture(scope="module")
def cameras() -> Cameras:
    """The cameras of the room as a run keeps them: pictures squeezed into squares."""
    return concatenate([camera(index).resized(SIZE, SIZE) for index in range(HELD_OUT)])


def test_pictures_have_the_shape_of_the_front_cameras(cameras):
    shown = camera_path.video_cameras(cameras, 200)
    assert (shown.width, shown.height) == (200, 150)  # the front pictures are 96 x 72
    assert torch.allclose(shown.Ks[:, 0, 0], shown.Ks[:, 1, 1])
    assert torch.allclose(shown.Ks[0], camera(0).resized(200, 150).Ks[0])
    tall = camera_path.video_cameras(cameras[[3, 0]], 200)
    assert (tall.width, tall.height) == (150, 200)


def test_the_point_on_the_axis_of_a_lens_stays_on_it(cameras):
    """Principal points that are off the middle stay off it, by the same angle."""
    ahead = torch.linalg.inv(cameras.viewmats)[:, :3, 3] + cameras.viewmats[:, 2, :3]
    shown = camera_path.video_cameras(cameras, 200)
    pixels, _ = project(ahead, shown)
    for index in range(len(cameras)):
        assert torch.allclose(pixels[index, index], shown.Ks[index, :2, 2], atol=1e-2)
    assert abs(float(shown.Ks[1, 0, 2]) - 100) > 5


def test_the_path_starts_at_the_front_and_passes_every_camera(cameras):
    way = camera_path.tour(cameras, 400)
    distance = torch.cdist(cameras.centres(), way.centres())
    assert distance[0, 0] < 1e-3
    assert distance.min(1).values.max() < 0.03
    steps = (way.centres()[1:] - way.centres()[:-1]).norm(dim=1)
    assert steps.max() < 4 * steps.mean()
    assert torch.allclose(way.centres()[0], way.centres()[-1], atol=0.1)  # it comes back


def test_the_path_stays_upright_looks_at_the_scene_and_is_not_mirrored(cameras):
    way = camera_path.tour(cameras, 60)
    assert torch.allclose(torch.linalg.det(way.viewmats[:, :3, :3]), torch.ones(60), atol=1e-4)
    assert (way.viewmats[:, 1, 2] < -0.5).all()  # down in the picture is down in the world
    pixels, depth = project(torch.zeros(1, 3), way)
    assert (depth > 1).all()
    assert (pixels - SIZE / 2).abs().max() < SIZE / 4


def test_the_path_is_short_whatever_the_order_of_the_cameras():
    ring = orbit_cameras([0, 80, 40, 20, 60], size=SIZE)
    assert camera_path._order(ring.centres().numpy()) in ([0, 3, 2, 4, 1], [1, 4, 2, 3, 0])


def test_the_still_cameras_are_the_outermost(cameras):
    assert camera_path.still_cameras(cameras) == {"front": 0, "back": 4, "left": 1, "right": 6}
    three = orbit_cameras([0, -30, 30], size=SIZE)
    assert camera_path.still_cameras(three) == {"front": 0, "back": 1, "left": 1, "right": 2}


def test_every_video_of_a_scene_is_seen_from_its_cameras(cameras):
    """The ones on demand, too: same cameras, same shape, whatever the video."""
    asset = SimpleNamespace(
        capture_to_world=True, cameras=cameras, positions=torch.linspace(0, 1, 5)
    )
    config = VideoConfig(size=64, seconds=0.5, fps=24)
    path, still = turntable.shots(asset, "orbit", config), turntable.shots(asset, "left", config)
    assert (path[0].width, path[0].height) == (64, 48) and len(path[0]) == len(path[1]) == 12
    left = cameras.centres()[1].expand(12, 3)
    assert torch.allclose(still[0].centres(), left, atol=1e-4)
    frozen = turntable.shots(asset, "bullet", config)
    assert set(frozen[1]) == {0.5} and torch.equal(frozen[0].viewmats, path[0].viewmats)
