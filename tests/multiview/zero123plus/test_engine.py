"""The Zero123++ engine on tiny weights in the published layouts: plumbing, not pictures."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ds4d.cameras import rig_cameras
from ds4d.config import MachineConfig, MultiviewConfig
from ds4d.errors import UserError
from ds4d.multiview import zero123plus
from ds4d.multiview.zero123plus import generate
from ds4d.run.events import Event, Stage
from tests.fakes import zero123plus as tiny
from tests.stages import finished

CONFIG = MultiviewConfig(steps=2)
FRAMES, SIZE = 2, 40


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> MachineConfig:
    folder = tmp_path_factory.mktemp("weights")
    tiny.make(folder)
    return MachineConfig(device="cpu", weights=str(folder))


def frames(count: int = FRAMES) -> np.ndarray:
    """A disc that moves and changes its colour."""
    y, x = np.mgrid[:64, :64]
    result = np.zeros((count, 64, 64, 4), np.uint8)
    for index, frame in enumerate(result):
        frame[np.hypot(x - 28 - 4 * index, y - 32) < 20] = (220, 60 + 60 * index, 40, 255)
    return result


def matte(clip: np.ndarray) -> Stage[np.ndarray]:
    """A disc in the middle, whatever is seen there."""
    yield Event("matting", 1, 2, "looking")
    y, x = np.mgrid[: clip.shape[1], : clip.shape[2]]
    disc = np.hypot(x - clip.shape[2] / 2, y - clip.shape[1] / 2) < clip.shape[1] / 3
    yield Event("matting", 2, 2)
    return np.repeat(disc[None], len(clip), 0).astype(np.uint8) * 255


def drawn(config: MultiviewConfig, machine: MachineConfig, count: int = FRAMES, seed: int = 0):
    """The pictures [T, 6, 320, 320, 3] before anything is cut out."""
    return finished(generate.draw(frames(count), config, machine, seed, total=100))[1]


@pytest.fixture(scope="module")
def first(machine) -> np.ndarray:
    return drawn(CONFIG, machine)


@pytest.fixture
def networks(monkeypatch) -> list[weakref.ref]:
    """Weak references to the UNets that are loaded from now on."""
    loaded, load = [], generate.load_unet

    def listening(*args):
        unet = load(*args)
        loaded.append(weakref.ref(unet))
        return unet

    monkeypatch.setattr(generate, "load_unet", listening)
    return loaded


def test_six_views_of_each_frame(machine, networks):
    stage = zero123plus.run(frames(), SIZE, config=CONFIG, machine=machine, seed=0, matte=matte)
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

    monkeypatch.setattr(zero123plus, "draw", ready)
    stage = zero123plus.run(frames(), SIZE, config=CONFIG, machine=machine, seed=0, matte=matte)
    views = finished(stage)[1]
    np.testing.assert_allclose(
        views.images[:, 1:, SIZE // 2, SIZE // 2, 0], pictures[:, :, 0, 0, 0], atol=1
    )


def test_the_same_seed_draws_the_same(machine, first):
    np.testing.assert_array_equal(drawn(CONFIG, machine), first)
    assert np.abs(drawn(CONFIG, machine, seed=1).astype(int) - first).mean() > 2


def test_a_frame_that_is_drawn_once_more_changes_alone(machine, first):
    again = drawn(replace(CONFIG, redraw=("2:1", "99:1")), machine)
    others = [index for index in range(FRAMES) if index != 1]
    np.testing.assert_array_equal(again[others], first[others])
    assert np.abs(again[1].astype(int) - first[1]).mean() > 2
    with pytest.raises(UserError, match="no frame"):
        drawn(replace(CONFIG, redraw=("2",)), machine)


def test_without_an_anchor_only_later_frames_change(machine, first):
    free = drawn(replace(CONFIG, anchor="none"), machine)
    np.testing.assert_array_equal(free[0], first[0])
    assert np.abs(free[1].astype(int) - first[1]).max() > 3


@pytest.mark.parametrize("anchor", ["first", "none"])
def test_frames_do_not_depend_on_their_batch(machine, monkeypatch, anchor):
    config = replace(CONFIG, anchor=anchor, steps=1)
    alone = drawn(config, machine, count=3)
    monkeypatch.setattr(generate, "batch_size", lambda *_: 3)
    together = drawn(config, machine, count=3)
    assert np.abs(together.astype(int) - alone).max() <= 1


@pytest.mark.parametrize(
    "config",
    [MultiviewConfig(version="v1.1", steps=1), MultiviewConfig(white=True, steps=1),
     MultiviewConfig(guidance=1.0, steps=1)],
)  # fmt: skip
def test_other_weights_and_no_guidance_draw_something_else(machine, first, config):
    other = drawn(config, machine)
    assert other.shape == first.shape and other.std() > 1
    assert np.abs(other.astype(int) - first).mean() > 1


def test_version_1_1_does_not_draw_on_white(machine):
    config = MultiviewConfig(version="v1.1", white=True)
    with pytest.raises(UserError, match="v1.2"):
        finished(
            zero123plus.run(frames(), SIZE, config=config, machine=machine, seed=0, matte=matte)
        )


def test_closing_cancels_after_a_step_and_frees_the_networks(machine, networks):
    config = replace(CONFIG, steps=50)
    stage = zero123plus.run(frames(), SIZE, config=config, machine=machine, seed=0, matte=matte)
    while "step 1 of 50" not in next(stage).message:
        pass
    assert networks[0]() is not None
    stage.close()
    gc.collect()
    assert networks[0]() is None


def test_clip_is_gone_before_the_unet_comes(machine, monkeypatch):
    encoders, load = [], generate.load_encoders

    def listening(*args):
        loaded = load(*args)
        encoders.extend([weakref.ref(loaded.text), weakref.ref(loaded.vision)])
        return loaded

    def unet(*args):
        assert len(encoders) == 2 and all(network() is None for network in encoders)
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "load_encoders", listening)
    monkeypatch.setattr(generate, "load_unet", unet)
    with pytest.raises(KeyboardInterrupt):
        drawn(CONFIG, machine)


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

    monkeypatch.setattr(zero123plus, "draw", ready)
    stage = zero123plus.run(frames(), SIZE, config=CONFIG, machine=machine, seed=0, matte=slow)
    while "cutting out" not in next(stage).message:
        pass
    stage.close()
    assert closed == [True]


def test_missing_weights_are_one_sentence(tmp_path):
    (tmp_path / "sudo-ai" / "zero123plus-v1.2" / "unet").mkdir(parents=True)
    machine = MachineConfig(device="cpu", weights=str(tmp_path))
    with pytest.raises(UserError, match="zero123plus-v1.2"):
        finished(
            zero123plus.run(frames(), SIZE, config=CONFIG, machine=machine, seed=0, matte=matte)
        )


def test_a_broken_checkpoint_leaves_nothing_behind(machine, tmp_path, networks):
    tiny.make(tmp_path)
    file = Path("sudo-ai/zero123plus-v1.2/vae/diffusion_pytorch_model.safetensors")
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-64])
    machine = replace(machine, weights=str(tmp_path))
    with pytest.raises(UserError, match="diffusion_pytorch_model.safetensors"):
        finished(
            zero123plus.run(frames(), SIZE, config=CONFIG, machine=machine, seed=0, matte=matte)
        )
    assert networks == []
