"""Six views of every frame by tiny networks: plumbing, not pictures."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest

from ds4d.config import MachineConfig, MultiviewConfig
from ds4d.errors import UserError
from ds4d.multiview.zero123plus import generate
from ds4d.multiview.zero123plus.generate import batches, split_grid
from tests.fakes.zero123plus import disc_frames
from tests.stages import finished

CONFIG = MultiviewConfig(steps=2)
FRAMES = 2


def generated(config: MultiviewConfig, machine: MachineConfig, count: int = FRAMES, seed: int = 0):
    """The views [T, 6, 320, 320, 3] before they are cut out."""
    stage = generate.generate_views(disc_frames(count), config, machine, seed, total=100)
    return finished(stage)[1]


@pytest.fixture(scope="module")
def first(machine) -> np.ndarray:
    return generated(CONFIG, machine)


def test_the_same_seed_draws_the_same(machine, first):
    np.testing.assert_array_equal(generated(CONFIG, machine), first)
    assert np.abs(generated(CONFIG, machine, seed=1).astype(int) - first).mean() > 2


def test_a_frame_that_is_drawn_once_more_changes_alone(machine, first):
    again = generated(replace(CONFIG, redraw=("2:1", "99:1")), machine)
    others = [index for index in range(FRAMES) if index != 1]
    np.testing.assert_array_equal(again[others], first[others])
    assert np.abs(again[1].astype(int) - first[1]).mean() > 2
    with pytest.raises(UserError, match="no frame"):
        generated(replace(CONFIG, redraw=("2",)), machine)


def test_without_an_anchor_only_later_frames_change(machine, first):
    free = generated(replace(CONFIG, anchor="none"), machine)
    np.testing.assert_array_equal(free[0], first[0])
    assert np.abs(free[1].astype(int) - first[1]).max() > 3


@pytest.mark.parametrize("anchor", ["first", "none"])
def test_frames_do_not_depend_on_their_batch(machine, monkeypatch, anchor):
    config = replace(CONFIG, anchor=anchor, steps=1)
    alone = generated(config, machine, count=3)
    monkeypatch.setattr(generate, "batch_size", lambda *_: 3)
    together = generated(config, machine, count=3)
    assert np.abs(together.astype(int) - alone).max() <= 1


@pytest.mark.parametrize(
    "config",
    [MultiviewConfig(version="v1.1", steps=1), MultiviewConfig(white=True, steps=1),
     MultiviewConfig(guidance=1.0, steps=1)],
)  # fmt: skip
def test_other_weights_and_no_guidance_draw_something_else(machine, first, config):
    other = generated(config, machine)
    assert other.shape == first.shape and other.std() > 1
    assert np.abs(other.astype(int) - first).mean() > 1


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
        generated(CONFIG, machine)


def test_the_grid_is_cut_row_by_row():
    grid = np.zeros((960, 640, 3), np.uint8)
    for view in range(6):
        row, column = divmod(view, 2)
        grid[row * 320 : (row + 1) * 320, column * 320 : (column + 1) * 320] = view
    assert [np.unique(picture).tolist() for picture in split_grid(grid)] == [[v] for v in range(6)]


def test_batches_cover_all_frames_the_first_one_alone_where_others_look_at_it():
    assert list(batches(7, 3, first_alone=False)) == [(0, 3), (3, 6), (6, 7)]
    assert list(batches(7, 3, first_alone=True)) == [(0, 1), (1, 4), (4, 7)]
    assert list(batches(1, 8, first_alone=True)) == [(0, 1)]
