"""The Zero123++ engine on tiny weights in the published layouts: plumbing, not pictures."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ds4d.cameras import rig_cameras
from ds4d.config import MachineConfig, MultiviewConfig
from ds4d.errors import UserError
from ds4d.multiview import Views
from ds4d.multiview.zero123plus import engine
from ds4d.run.events import Event, Stage
from tests.fakes import zero123plus as tiny
from tests.stages import finished

CONFIG = MultiviewConfig(steps=2)
FRAMES, SIZE = 2, 40


def run_engine(machine: MachineConfig, config=CONFIG) -> Stage[Views]:
    clip = tiny.disc_frames(FRAMES)
    return engine.run(clip, SIZE, config=config, machine=machine, seed=0)


@pytest.fixture
def discs(monkeypatch):
    """A disc in the middle of each view, whatever the random weights draw."""

    def mattes(pictures: np.ndarray) -> np.ndarray:
        y, x = np.mgrid[: pictures.shape[1], : pictures.shape[2]]
        disc = np.hypot(x - pictures.shape[2] / 2, y - pictures.shape[1] / 2)
        alpha = 255 * (disc < pictures.shape[1] / 3)
        return np.repeat(alpha[None], len(pictures), 0).astype(np.uint8)

    monkeypatch.setattr(engine.plain, "mattes", mattes)


def test_six_views_of_each_frame(machine, networks, discs):
    stage = run_engine(machine)
    events, views = finished(stage)
    assert views.images.shape == (FRAMES, 7, SIZE, SIZE, 4)
    assert views.images.dtype == np.uint8
    alphas = views.images[:, 1:, :, :, 3]
    assert alphas[..., SIZE // 2, SIZE // 2].min() == 255 and alphas[..., 0, 0].max() == 0
    torch.testing.assert_close(views.cameras.viewmats, rig_cameras(SIZE).viewmats)
    assert len(networks) == 1 and networks[0]() is None

    steps = [event.step for event in events]
    assert steps == sorted(steps)
    assert {event.stage for event in events} == {"multiview"}
    assert (events[-1].step, events[-1].total) == (events[-1].total, FRAMES * 2 + 7)
    assert 0 < events[-1].metrics["iou"] <= 1
    grids = [event.preview for event in events if event.message.startswith("six views")]
    assert [grid.shape for grid in grids] == [(640, 960, 3)] * FRAMES
    assert all(grid.std() > 1 for grid in grids)
    assert sum("cutting out view" in event.message for event in events) == 6


def test_the_views_lie_where_the_grid_has_them_and_are_cut_out(machine, monkeypatch):
    """View k of the result is picture k, not mixed up with time, without its grey background."""
    y, x = np.mgrid[:320, :320]
    object_ = np.hypot(x - 160, y - 160) < 100
    pictures = np.full((FRAMES, 6, 320, 320, 3), 127, np.uint8)
    levels = 20 * np.arange(6) + 100 * np.arange(FRAMES)[:, None]
    pictures[:, :, object_] = levels[..., None, None] * (1, 0, 0) + (0, 0, 40)

    def ready(*args) -> Stage[np.ndarray]:
        yield Event("multiview")
        return pictures

    monkeypatch.setattr(engine, "generate_views", ready)
    stage = run_engine(machine)
    views = finished(stage)[1]
    middle = views.images[:, 1:, SIZE // 2, SIZE // 2]
    np.testing.assert_allclose(middle[..., 0], levels, atol=1)
    np.testing.assert_array_equal(middle[..., 3], 255)
    assert views.images[:, 1:, :2, :, 3].max() == 0


def test_version_1_1_does_not_draw_on_white(machine):
    config = MultiviewConfig(version="v1.1", white=True)
    with pytest.raises(UserError, match="v1.2"):
        finished(run_engine(machine, config))


def test_closing_cancels_after_a_step_and_frees_the_networks(machine, networks):
    config = replace(CONFIG, steps=50)
    stage = run_engine(machine, config)
    while "step 1 of 50" not in next(stage).message:
        pass
    assert networks[0]() is not None
    stage.close()
    gc.collect()
    assert networks[0]() is None


def test_missing_weights_are_one_sentence(tmp_path):
    (tmp_path / "sudo-ai" / "zero123plus-v1.2" / "unet").mkdir(parents=True)
    machine = MachineConfig(device="cpu", weights=str(tmp_path))
    with pytest.raises(UserError, match="zero123plus-v1.2"):
        finished(run_engine(machine))


def test_a_broken_checkpoint_leaves_nothing_behind(machine, tmp_path, networks):
    tiny.make(tmp_path)
    file = Path("sudo-ai/zero123plus-v1.2/vae/diffusion_pytorch_model.safetensors")
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-64])
    machine = replace(machine, weights=str(tmp_path))
    with pytest.raises(UserError, match="diffusion_pytorch_model.safetensors"):
        finished(run_engine(machine))
    assert networks == []
