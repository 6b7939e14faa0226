"""Videos on demand: GIFs that loop, webms that let the page shine through."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from PIL import Image

from ds4d.config import VideoConfig
from ds4d.errors import UserError
from ds4d.images import over
from ds4d.render import animation, turntable
from ds4d.run.workspace import Workspace
from ds4d.splatting.splats import Splats
from tests.stages import finished

CONFIG = VideoConfig(size=64, seconds=0.5, fps=24)
COLOR = (0.9, 0.3, 0.1)


class Asset:
    """A ball that rises."""

    positions = torch.linspace(0, 1, 3)
    capture_to_world = None

    def splats(self, position: float) -> Splats:
        return Splats(
            torch.tensor([[0.0, 0.0, 0.5 * position - 0.25]]),
            torch.tensor([[1.0, 0, 0, 0]]),
            torch.full((1, 3), 0.08),
            torch.full((1,), 0.99),
            torch.tensor([COLOR]),
        )


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path / "run")


def drawn(video: str) -> np.ndarray:
    """Expected frames of the video, [12, 64, 64, 4]."""
    return turntable.render_views(Asset(), *turntable.shots(Asset(), video, CONFIG))


def test_a_gif_loops_in_the_right_time_and_colours(workspace):
    events, path = finished(animation.run(Asset(), workspace, "front", "gif", CONFIG))
    assert path == workspace / "exports/animations/front.gif"
    assert [event.step for event in events] == [6, 12, 13] and events[-1].total == 13
    with Image.open(path) as image:
        assert image.info["loop"] == 0 and image.n_frames == 12
        frames, milliseconds = [], 0
        for number in range(image.n_frames):
            image.seek(number)
            milliseconds += image.info["duration"]
            frames.append(np.asarray(image.convert("RGB")).astype(float))
    assert milliseconds == pytest.approx(500, abs=20)
    assert np.abs(np.stack(frames) - over(drawn("front"))).mean() < 1
    assert all((frame[:8, :8] == 255).all() for frame in frames)  # white is white


def test_a_webm_is_transparent_where_the_object_is_not(workspace):
    _, path = finished(animation.run(Asset(), workspace, "orbit", "webm", CONFIG))
    decoded = decode_rgba(path)
    truth = drawn("orbit").astype(float)
    assert decoded.shape == truth.shape
    assert np.abs(decoded[..., 3] - truth[..., 3]).mean() < 4
    assert decoded[..., 3].min() == 0 and decoded[..., 3].max() > 245
    solid = truth[..., 3] > 250
    assert np.abs(decoded[solid][:, :3] - truth[solid][:, :3]).mean() < 8
    # What is half transparent has the object's colour, not that of a background.
    edge = (truth[..., 3] > 100) & (truth[..., 3] < 200)
    assert np.abs(decoded[edge][:, :3] - truth[edge][:, :3]).mean() < 20


def decode_rgba(path) -> np.ndarray:
    from ds4d.clip import decoding, packets
    from ds4d.config import ClipConfig

    video = packets.inspect(path, ClipConfig())
    frames = [frame for _, frame in decoding.decode(video, range(video.count), 1000)]
    return np.stack(frames).astype(float)


def test_a_video_can_be_drawn_alone(workspace):
    _, path = finished(animation.run(Asset(), workspace, "bullet", "mp4", CONFIG))
    assert path == workspace / "videos/bullet.mp4"
    assert np.abs(iio.imread(path).astype(float) - over(drawn("bullet"))).mean() < 4


def test_cancelling_leaves_no_file(workspace):
    work = animation.run(Asset(), workspace, "front", "gif", CONFIG)
    next(work)
    work.close()
    assert not [path for path in workspace.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("video", "format"), [("top", "gif"), ("orbit", "avi")])
def test_what_there_is_not_is_the_users_mistake(workspace, video, format):
    with pytest.raises(UserError, match="There is no video"):
        finished(animation.run(Asset(), workspace, video, format, CONFIG))
