"""Visualizations of dynamic features and fusion weights: bright where something moves."""

import dataclasses

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ds4d import guidance
from ds4d.config import FourdConfig, MachineConfig
from ds4d.fourd import stage as fourd_stage
from ds4d.fourd.visualize import SIDE, dynamics, scores, write
from ds4d.run.workspace import Workspace
from tests.stages import finished


def trained(scene, config, folder):
    stage = fourd_stage.run(
        scene.views, scene.positions, scene.features, scene.points, scene.colors, config, 0,
        folder, "key", torch.device("cpu"),
        guidance.choose(config, MachineConfig(device="cpu")),
    )  # fmt: skip
    return finished(stage)[1][0]


@pytest.fixture(scope="module")
def asset(scene, small_config, tmp_path_factory):
    config = dataclasses.replace(small_config, static_iterations=40, dynamic_iterations=120)
    return trained(scene, config, tmp_path_factory.mktemp("checkpoints"))


def warmth(picture: np.ndarray) -> np.ndarray:
    """Red minus blue."""
    return picture[..., 0].astype(float) - picture[..., 2]


def test_what_moves_is_warm_and_what_stands_is_cold(scene):
    """In the front view a red blob stands on the left, and a blue one rises on the right."""
    frames = list(dynamics(scene.views.images, scene.features, FourdConfig()))
    assert len(frames) == len(scene.views.images)
    assert all(frame.shape == (2 * SIDE, 4 * SIDE, 3) for frame in frames)
    for frame in (frames[0], frames[-1]):
        front = warmth(frame[:SIDE, :SIDE])
        assert front[:, SIDE // 2 :].max() > 50 > front[:, : SIDE // 2].max()
    top, bottom = slice(0, SIDE // 2), slice(SIDE // 2, SIDE)
    first, last = (warmth(frames[k][:SIDE, :SIDE]) for k in (0, -1))
    assert first[bottom].max() > 50 and last[top].max() > 50


def test_scores_are_drawn_below_the_frames_they_belong_to(asset, scene):
    picture = scores(asset, scene.views.images)
    assert picture.shape == (2 * SIDE, 8 * SIDE, 3)
    for view in range(7):
        drawn = picture[SIDE:, view * SIDE : (view + 1) * SIDE]
        share = (drawn.min(-1) < 250).mean()
        assert 0.005 < share < 0.5  # two small blobs on white


def test_the_front_alone_is_red_and_the_others_are_blue(scene, small_config, tmp_path):
    config = dataclasses.replace(
        small_config, fusion="front", visibility="none", static_iterations=10, dynamic_iterations=30
    )
    picture = scores(trained(scene, config, tmp_path), scene.views.images)[SIDE:]
    views = [warmth(picture[:, v * SIDE : (v + 1) * SIDE]) for v in range(7)]
    assert views[0].max() > 80 and views[0].min() > -20
    assert max(view.max() for view in views[1:]) < 20


@pytest.mark.parametrize(
    ("features", "fusion", "expected"),
    [("dsfd", "da", {"dynamics.mp4", "scores.jpg"}), ("frames", "da", {"scores.jpg"}),
     ("none", "da", set())],
)  # fmt: skip
def test_a_run_has_the_pictures_of_what_was_at_work(
    features, fusion, expected, scene, small_config, tmp_path
):
    config = dataclasses.replace(
        small_config, features=features, fusion=fusion, static_iterations=5, dynamic_iterations=10
    )
    workspace = Workspace(tmp_path)
    previews = tmp_path / "previews"
    for name in ("dynamics.mp4", "scores.jpg"):
        with workspace.replacing(f"previews/{name}") as path:
            path.write_text("of an earlier run")
    asset = trained(scene, config, tmp_path / "checkpoints")
    write(asset, scene.views.images, scene.features, workspace)
    assert {path.name for path in previews.iterdir()} == expected
    if "dynamics.mp4" in expected:
        assert len(iio.imread(previews / "dynamics.mp4")) == len(scene.views.images)
