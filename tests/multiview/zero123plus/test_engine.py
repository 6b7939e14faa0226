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


def matte(clip: np.ndarray) -> Stage[np.ndarray]:
    """A disc in the middle, whatever is seen there."""
    yield Event("matting", 1, 2, "matting")
    y, x = np.mgrid[: clip.shape[1], : clip.shape[2]]
    disc = np.hypot(x - clip.shape[2] / 2, y - clip.shape[1] / 2) < clip.shape[1] / 3
    yield Event("matting", 2, 2)
    return np.repeat(disc[None], len(clip), 0).astype(np.uint8) * 255


def run_engine(machine: MachineConfig, config=CONFIG, matte=matte) -> Stage[Views]:
    clip = tiny.disc_frames(FRAMES)
    return engine.run(clip, SIZE, config=config, machine=machine, seed=0, matte=matte)


def test_six_views_of_each_frame(machine, networks):
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
    assert (events[-1].step, events[-1].total) == (events[-1].total, FRAMES * (2 + 6) + 1)
    assert 0 < events[-1].metrics["iou"] <= 1
    grids = [event.preview for event in events if event.message.startswith("six views")]
    assert [grid.shape for grid in grids] == [(640, 960, 3)] * FRAMES
    assert all(grid.std() > 1 for grid in grids)
    assert sum("cutting out view" in event.message for event in events) == 12


def test_the_views_lie_where_the_grid_has_them(machine, monkeypatch):
    """View k of the result is picture k, not mixed up with time, and its matte is its own."""
    pictures = np.zeros((FRAMES, 6, 320, 320, 3), np.uint8)
    pictures[:] = (20 * np.arange(6) + 100 * np.arange(FRAMES)[:, None])[..., None, None, None]

    def ready(*args) -> Stage[np.ndarray]:
        yield Event("multiview")
        return pictures

    monkeypatch.setattr(engine, "generate_views", ready)
    stage = run_engine(machine)
    views = finished(stage)[1]
    np.testing.assert_allclose(
        views.images[:, 1:, SIZE // 2, SIZE // 2, 0], pictures[:, :, 0, 0, 0], atol=1
    )


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


def test_closing_while_mattes_are_made_closes_the_matting(machine, monkeypatch):
    closed = []

    def slow(clip: np.ndarray) -> Stage[np.ndarray]:
        try:
            while True:
                yield Event("matting", 0, 1)
        finally:
            closed.append(True)

    def ready(*args) -> Stage[np.ndarray]:
        yield Event("multiview")
        return np.zeros((FRAMES, 6, 320, 320, 3), np.uint8)

    monkeypatch.setattr(engine, "generate_views", ready)
    stage = run_engine(machine, matte=slow)
    while "cutting out" not in next(stage).message:
        pass
    stage.close()
    assert closed == [True]


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
