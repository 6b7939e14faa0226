"""Input and render side by side: the right pictures in the right places, and honest figures."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ds4d.cameras import orbit_cameras
from ds4d.config import VideoConfig
from ds4d.evaluation import comparison, metrics
from ds4d.images import over
from ds4d.render.turntable import render_views
from ds4d.run.workspace import Workspace
from ds4d.splatting.splats import Splats
from tests.stages import finished

CONFIG = VideoConfig(size=64, seconds=0.5, fps=24)


class Asset:
    """A ball that rises, seen from the front at 32 pixels by the optimization."""

    positions = torch.tensor([0.0, 0.25, 1.0])
    cameras = orbit_cameras([0.0, 90.0], size=32)

    def splats(self, position: float) -> Splats:
        return Splats(
            torch.tensor([[0.1, 0.0, 0.5 * position - 0.25]]),
            torch.tensor([[1.0, 0, 0, 0]]),
            torch.full((1, 3), 0.08),
            torch.full((1,), 0.99),
            torch.tensor([[0.9, 0.3, 0.1]]),
        )


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """Front views of the asset at its three frames, [3, 48, 48, 4]."""
    cameras = orbit_cameras([0.0] * 3, size=48)
    return render_views(Asset(), cameras, Asset.positions.tolist())


@pytest.fixture(scope="module")
def made(tmp_path_factory, truth):
    """Of a clip whose frames are the asset's own, but upside down in colour."""
    frames = truth.copy()
    frames[..., :3] = 255 - frames[..., :3]
    workspace = Workspace(tmp_path_factory.mktemp("run"))
    return workspace, finished(comparison.run(Asset(), frames, workspace, CONFIG))[1], frames


def test_a_perfect_render_is_called_perfect_and_a_wrong_one_is_not(truth, made):
    facts = comparison.score(truth, truth)
    assert facts["front_psnr"] == 100 and facts["front_iou"] == 1
    assert facts["front_frames"] == [[100, 100, 1]] * 3 and facts["front_worst"] == [100, 100, 1]
    assert made[1]["front_iou"] == 1 and made[1]["front_psnr_object"] < made[1]["front_psnr"] < 30


def test_figures_are_means_over_the_frames_of_the_known_metrics(truth, made):
    _, facts, frames = made
    expected = [
        metrics.psnr(metrics.on_white(a)[0], metrics.on_white(b)[0])
        for a, b in zip(truth, frames, strict=True)
    ]
    assert facts["front_psnr"] == pytest.approx(np.mean(expected), abs=0.01)
    assert [row[0] for row in facts["front_frames"]] == pytest.approx(expected, abs=0.01)
    assert facts["front_worst"][0] == pytest.approx(min(expected), abs=0.01)


def test_the_pictures_are_the_middle_frame_s(made):
    workspace, _, frames = made
    pictures = {
        name: iio.imread(workspace / f"previews/compare_{name}.png").astype(float)
        for name in ("input", "render")
    }
    camera = orbit_cameras([0.0], size=64)
    render = over(render_views(Asset(), camera, [0.25]))[0]
    assert np.abs(pictures["render"] - render).max() <= 1
    small = pictures["input"].reshape(64, 64, 3)[::4, ::4]
    assert np.abs(small - over(frames)[1, ::3, ::3]).mean() < 12


def test_the_player_s_first_picture_is_the_first_frame_alone(made):
    poster = iio.imread(made[0] / "previews/poster.png")
    camera = orbit_cameras([0.0], size=64)
    np.testing.assert_array_equal(poster, render_views(Asset(), camera, [0.0])[0])


def test_the_video_shows_the_input_left_and_the_render_right_at_the_same_time(made):
    video = iio.imread(made[0] / "videos/compare.mp4").astype(float)
    assert video.shape == (12, 64, 128, 3)
    left, right = video[:, :, :64], video[:, :, 64:]
    blue, red = (side[..., 2] - side[..., 0] for side in (left, right))
    for frame, position in zip((0, 3, 11), (0.0, 0.25, 1.0), strict=True):
        places = [np.argwhere(mask).mean(0) for mask in (blue[frame] > 60, red[frame] < -60)]
        assert np.abs(places[0] - places[1]).max() < 1.5
        row = 32 - (0.5 * position - 0.25) * 64
        assert places[1][0] == pytest.approx(row, abs=2)
