"""The video of an object that crosses the clip: renders at their places in the clip's frames."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest

from ds4d.config import VideoConfig
from ds4d.images import save_images
from ds4d.render import in_clip
from ds4d.run.workspace import Workspace
from tests.stages import finished
from tests.viewer.ball import Ball

CONFIG = VideoConfig(size=48, seconds=0.5, fps=10)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A run whose square went from the left to the right of grey frames, 160 x 80 pixels."""
    made = Workspace(tmp_path / "run")
    save_images(made / "clip", np.full((5, 80, 160, 3), 128, np.uint8))
    path = [[left, 20, 40] for left in (0, 30, 60, 90, 120)]
    made.record["stages"] = {"matting": {"path": path, "follows": True}}
    return made


def test_the_object_is_where_the_clip_had_it(workspace):
    finished(in_clip.run(Ball(), workspace, CONFIG))
    frames = iio.imread(workspace / in_clip.NAME).astype(int)
    assert frames.shape == (5, 96, 192, 3)  # the square has 48 pixels
    faded = np.abs(frames - 191).max(-1)
    middles = [np.nonzero(changed > 60)[1].mean() / 192 for changed in faded]
    path = np.abs(frames[2, 48] - in_clip.PATH).max(-1) < 90  # in the row of the square's middle
    assert path[:70].any() and not path[:20].any()
    assert middles[0] < 0.35 and middles[-1] > 0.65 and np.all(np.diff(middles) > 0)


def test_nothing_is_written_where_one_square_serves_all(workspace):
    finished(in_clip.run(Ball(), workspace, CONFIG))
    workspace.record["stages"]["matting"]["follows"] = False
    finished(in_clip.run(Ball(), workspace, CONFIG))
    assert not (workspace / in_clip.NAME).exists()
