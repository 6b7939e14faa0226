"""What a step draws: which frame, and which two views of it."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.sampling import deals

FRAMES, VIEWS = 5, 7


def dealer(shuffled: bool = True, front: bool = False, seed: int = 0):
    config = FourdConfig(shuffled=shuffled, front_always=front)
    return deals(config, FRAMES, VIEWS, seed, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shuffled", [True, False], ids=["deck", "dice"])
@pytest.mark.parametrize("front", [True, False], ids=["front", "any"])
def test_two_different_views_of_a_frame(shuffled, front):
    several = [dealer(shuffled, front, seed) for seed in range(9)]
    dealt = [one.deal(n) for one in several for n in range(80)]
    assert all(0 <= t < FRAMES and 0 <= a < VIEWS and 0 <= b < VIEWS for t, a, b in dealt)
    assert all(a != b for _, a, b in dealt)
    assert {t for t, _, _ in dealt} == set(range(FRAMES))
    assert {b for _, _, b in dealt} == set(range(1 if front else 0, VIEWS))
    assert {a for _, a, _ in dealt} == ({0} if front else set(range(VIEWS)))


@pytest.mark.parametrize("shuffled", [True, False], ids=["deck", "dice"])
def test_a_settled_frame_is_kept(shuffled):
    assert {dealer(shuffled).deal(n, 3)[0] for n in range(30)} == {3}


def test_a_deck_shows_every_frame_once_before_any_comes_again():
    deck = dealer()
    laps = [[deck.deal(FRAMES * lap + n)[0] for n in range(FRAMES)] for lap in range(20)]
    assert all(sorted(lap) == list(range(FRAMES)) for lap in laps)
    assert len({tuple(lap) for lap in laps}) > 10


@pytest.mark.parametrize("frame", [None, 2])
def test_a_deck_shows_every_view_of_a_frame_about_equally_often(frame):
    deck, laps = dealer(), 70
    seen = Counter()
    for n in range(laps * (1 if frame else FRAMES)):
        time, *pair = deck.deal(n, frame)
        seen.update((time, view) for view in pair)
    assert len(seen) == VIEWS * (1 if frame else FRAMES)
    # The next card stands in for a twin: some come a few times more than others.
    assert all(abs(count - 2 * laps / VIEWS) <= 4 for count in seen.values())


def test_a_deck_knows_its_order_wherever_it_is_entered():
    whole = [dealer().deal(n) for n in range(40)]
    assert [dealer().deal(n) for n in reversed(range(40))] == whole[::-1]
    assert [dealer(seed=1).deal(n) for n in range(40)] != whole
