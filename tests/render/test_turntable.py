"""Turntable videos: playable, complete, and showing the side that their names promise."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ds4d.cameras import orbit_cameras
from ds4d.config import VideoConfig
from ds4d.errors import UserError
from ds4d.render import turntable
from ds4d.run.workspace import Workspace
from ds4d.splatting.splats import Splats
from tests.stages import finished

CONFIG = VideoConfig(size=64, seconds=0.5, fps=24)
COUNT = 12
RED, GREEN, BLUE, BLACK = (1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (0, 0, 0)


class Asset:
    """A grey core with a coloured plate on each side, and a black ball that rises on the right."""

    positions = torch.linspace(0, 1, 4)
    capture_to_world = None

    def splats(self, position: float) -> Splats:
        sides = {(0, -1, 0): GREEN, (0, 1, 0): BLACK, (1, 0, 0): RED, (-1, 0, 0): BLUE}
        places = torch.tensor(list(sides), dtype=torch.float32)
        means = torch.cat([places * 0.2, torch.tensor([[0.3, -0.3, 0.6 * position - 0.3]])])
        thin = torch.where(places != 0, 0.01, 0.09)
        return Splats(
            means,
            torch.tensor([[1.0, 0, 0, 0]]).repeat(5, 1),
            torch.cat([thin, torch.full((1, 3), 0.03)]),
            torch.full((5,), 0.99),
            torch.tensor([*sides.values(), BLACK]),
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("run"))
    events, paths = finished(turntable.run(Asset(), workspace, CONFIG))
    return events, paths, {name: iio.imread(path).astype(int) for name, path in paths.items()}


def dark_row(frame: np.ndarray) -> float:
    """Height of the black ball in the right third of a frame, as its row."""
    dark = (frame[:, 42:].max(-1) < 100).nonzero()[0]
    return float(dark.mean())


def centre(frame: np.ndarray) -> np.ndarray:
    return frame[30:34, 30:34].reshape(-1, 3).mean(0)


def test_every_video_plays_in_a_browser(made):
    _, paths, videos = made
    assert tuple(paths) == ("orbit", "front", "back", "left", "right", "bullet")
    for name, path in paths.items():
        meta = iio.immeta(path, plugin="FFMPEG")
        assert path.name == f"{name}.mp4"
        assert meta["codec"] == "h264" and meta["pix_fmt"].startswith("yuv420p")
        assert meta["size"] == (64, 64) and meta["fps"] == 24
        assert videos[name].shape == (COUNT, 64, 64, 3)
        assert (videos[name][:, 0, 0] > 250).all()  # a white corner
        assert videos[name].std() > 10


@pytest.mark.parametrize(
    ("name", "channels"), [("front", [1]), ("right", [0]), ("left", [2]), ("back", [])]
)
def test_each_still_camera_sees_its_side(made, name, channels):
    for frame in made[2][name]:
        assert (centre(frame) > 128).nonzero()[0].tolist() == channels


def test_time_plays_forward_in_front_of_a_still_camera(made):
    rows = [dark_row(frame) for frame in made[2]["front"]]
    assert rows[0] > 40 and rows[-1] < 24  # the ball rises
    assert all(later < earlier for earlier, later in zip(rows, rows[1:], strict=False))


def test_the_orbit_goes_round_to_the_right_while_time_plays(made):
    orbit, front, right = (made[2][name] for name in ("orbit", "front", "right"))
    assert dark_row(orbit[0]) > 40
    strongest = [int(centre(orbit[frame]).argmax()) for frame in (0, COUNT // 4, 3 * COUNT // 4)]
    assert strongest == [1, 0, 2]  # front, right, left
    assert np.abs(orbit[0] - front[0]).mean() < np.abs(orbit[0] - right[0]).mean()


def test_bullet_freezes_the_middle_frame(made):
    bullet = made[2]["bullet"]
    cameras = orbit_cameras(
        np.arange(COUNT) * 360 / COUNT, turntable.TURN_ELEVATION, size=CONFIG.size
    )
    middle = float(Asset.positions[len(Asset.positions) // 2])
    rgba = turntable.render_views(Asset(), cameras, [middle] * COUNT) / 255
    expected = 255 * (rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:])
    assert np.abs(bullet - expected).mean() < 4  # what the video codec loses


def test_events_count_to_their_end_and_show_pictures(made):
    events = made[0]
    assert {event.stage for event in events} == {"videos"}
    assert [event.step for event in events] == list(range(1, events[-1].total + 1))
    for event in events:
        assert event.preview.shape == (64, 64, 3) and event.preview.dtype == np.uint8


def test_cancelling_leaves_no_video(tmp_path):
    workspace = Workspace(tmp_path)
    stage = turntable.run(Asset(), workspace, CONFIG)
    next(stage)
    stage.close()
    assert not list(tmp_path.rglob("*.mp4"))


@pytest.mark.parametrize("config", [VideoConfig(size=63), VideoConfig(seconds=0.0)])
def test_impossible_videos_are_the_users_mistake(tmp_path, config):
    with pytest.raises(UserError, match="are not possible"):
        next(turntable.run(Asset(), Workspace(tmp_path), config))


def test_views_of_one_call_may_see_different_moments():
    cameras = orbit_cameras([0.0, 0.0], size=64)
    images = turntable.render_views(Asset(), cameras, [1.0, 0.0])
    assert images.shape == (2, 64, 64, 4) and images.dtype == np.uint8
    late, early = np.where(images[..., 3:] > 128, images[..., :3], 255)
    assert dark_row(late) < 24 and dark_row(early) > 40


def test_faint_pixels_keep_their_full_colour():
    class Ball:
        def splats(self, position: float) -> Splats:
            quats, color = torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[0.8, 0.4, 0.2]])
            return Splats(torch.zeros(1, 3), quats, torch.full((1, 3), 0.1), torch.ones(1), color)

    image = turntable.render_views(Ball(), orbit_cameras([0.0], size=64), [0.0])[0]
    alpha = image[..., 3]
    assert alpha[0, 0] == 0 and alpha.max() > 250
    assert ((alpha > 0) & (alpha < 60)).sum() > 20
    assert np.abs(image[alpha > 0, :3].astype(int) - (204, 102, 51)).max() <= 1


def test_the_chosen_rasterizer_is_the_one_that_renders(tmp_path):
    with pytest.raises(ValueError, match="vulkan"):
        turntable.render_views(Asset(), orbit_cameras([0.0], size=16), [0.5], "vulkan")
    with pytest.raises(ValueError, match="vulkan"):
        next(turntable.run(Asset(), Workspace(tmp_path), CONFIG, "vulkan"))
