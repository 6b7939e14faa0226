"""Samplers of a frame and two of its views."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.sampling import build_sampler, sample_batch

FRAMES, VIEWS = 5, 7


def sampler(shuffled: bool = True, front: bool = False, seed: int = 0):
    config = FourdConfig(shuffled=shuffled, front_always=front)
    return build_sampler(config, FRAMES, VIEWS, seed, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shuffled", [True, False], ids=["epochs", "iid"])
@pytest.mark.parametrize("front", [True, False], ids=["front", "any"])
def test_pairs_are_two_different_views_of_a_frame(shuffled, front):
    samplers = [sampler(shuffled, front, seed) for seed in range(9)]
    pairs = [each.sample(index) for each in samplers for index in range(80)]
    assert all(pair.first != pair.second for pair in pairs)
    assert {pair.frame for pair in pairs} == set(range(FRAMES))
    assert {pair.second for pair in pairs} == set(range(1 if front else 0, VIEWS))
    assert {pair.first for pair in pairs} == ({0} if front else set(range(VIEWS)))


@pytest.mark.parametrize("shuffled", [True, False], ids=["epochs", "iid"])
def test_a_given_frame_is_kept(shuffled):
    assert {sampler(shuffled).sample(index, 3).frame for index in range(30)} == {3}


def test_an_epoch_has_every_frame_once_and_epochs_differ():
    epochs = [
        tuple(sampler().sample(FRAMES * epoch + index).frame for index in range(FRAMES))
        for epoch in range(20)
    ]
    assert all(sorted(epoch) == list(range(FRAMES)) for epoch in epochs)
    assert len(set(epochs)) > 10


@pytest.mark.parametrize("frame", [None, 2])
def test_every_view_of_a_frame_comes_about_equally_often(frame):
    visits = 70
    seen = Counter()
    for index in range(visits * (1 if frame else FRAMES)):
        pair = sampler().sample(index, frame)
        seen.update((pair.frame, view) for view in (pair.first, pair.second))
    assert len(seen) == VIEWS * (1 if frame else FRAMES)
    # Where two epochs meet, the next view replaces a repeated one.
    assert all(abs(count - 2 * visits / VIEWS) <= 4 for count in seen.values())


def test_the_epoch_sampler_can_start_anywhere():
    pairs = [sampler().sample(index) for index in range(40)]
    assert [sampler().sample(index) for index in reversed(range(40))] == pairs[::-1]
    assert [sampler(seed=1).sample(index) for index in range(40)] != pairs


def test_a_batch_continues_where_the_step_before_ended():
    batches = [sample_batch(sampler(), step, count=3) for step in range(FRAMES)]
    assert all(batch["views"].shape == (3, 2) for batch in batches)
    frames = torch.cat([batch["frames"] for batch in batches]).tolist()
    assert frames == [sampler().sample(index).frame for index in range(3 * FRAMES)]


def test_weights_decide_how_often_a_frame_comes():
    weighted = sampler()
    weighted.weights = np.array([0.4, 0.4, 0.4, 2.9, 0.9])
    epochs = 200
    pairs = [weighted.sample(index) for index in range(FRAMES * epochs)]
    counts = np.bincount([pair.frame for pair in pairs], minlength=FRAMES)
    np.testing.assert_allclose(counts / epochs, weighted.weights, atol=0.12)
    once = Counter(pair.frame for pair in pairs[:FRAMES])
    assert 2 <= once[3] <= 3  # spread over the epochs
    views = Counter(view for pair in pairs if pair.frame == 3 for view in (pair.first, pair.second))
    assert min(views.values()) > 0.7 * max(views.values()) and len(views) == VIEWS
