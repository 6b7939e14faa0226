"""The graph cut against its definition."""

from __future__ import annotations

import itertools

import numpy as np

from ds4d.matting.classical import graph_cut as module
from ds4d.matting.classical.graph_cut import cut


def test_strong_log_odds_decides_pixel_by_pixel():
    rng = np.random.default_rng(0)
    log_odds = rng.choice([-7, -5.5, 5.5, 7], (30, 40)).astype(np.float32)
    lab = rng.uniform(0, 100, (30, 40, 3)).astype(np.float32)
    np.testing.assert_array_equal(cut(log_odds, lab, stiffness=0.6), log_odds > 0)


def test_one_sided_log_odds_needs_no_cut():
    lab = np.zeros((5, 6, 3), np.float32)
    assert cut(np.full((5, 6), 1, np.float32), lab).all()
    assert not cut(np.full((5, 6), -1, np.float32), lab).any()


def test_speckles_go_and_the_outline_lies_on_the_edge():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:80, :90]
    disc = np.hypot(y - 40, x - 45) < 25
    lab = np.where(disc[..., None], (70, 10, 5), (40, 0, 0)) + rng.normal(0, 1, (80, 90, 3))
    log_odds = np.where(disc, 1.0, -1.0) + rng.normal(0, 1.5, disc.shape)
    assert ((log_odds > 0) != disc).mean() > 0.15
    mask = cut(log_odds.astype(np.float32), lab.astype(np.float32))
    assert (mask != disc).mean() < 0.002


def test_the_cut_is_the_cheapest_of_all_masks():
    """Literal: the cost of every mask of a 3 x 4 picture of one colour, in nats."""
    rng = np.random.default_rng(2)
    masks = [np.array(bits, bool).reshape(3, 4) for bits in itertools.product((0, 1), repeat=12)]
    for _ in range(5):
        log_odds = rng.uniform(-6, 6, (3, 4)).astype(np.float32)
        stiffness = rng.uniform(0.6, 2)
        found = cut(log_odds, np.full((3, 4, 3), 50, np.float32), stiffness)
        least = min(_cost(mask, log_odds, stiffness) for mask in masks)
        assert _cost(found, log_odds, stiffness) < least + 0.05


def _cost(mask: np.ndarray, log_odds: np.ndarray, stiffness: float) -> float:
    """Evidence as it is drawn, and the outline: each pair of the eight neighbours costs GrabCut's
    weight, in which the log_odds's own channel is the only difference of colours."""
    half = module.LEVELS / 2
    level = np.round(log_odds / module.MAX_LOG_ODDS * half + half)
    pairs = [
        ((i, j), (i + a, j + b), np.hypot(a, b))
        for i in range(3)
        for j in range(4)
        for a, b in ((0, 1), (1, 0), (1, 1), (1, -1))
        if 0 <= i + a < 3 and 0 <= j + b < 4
    ]
    squares = np.array([(level[p] - level[q]) ** 2 for p, q, _ in pairs])
    weights = stiffness * np.exp(-squares / (2 * squares.mean()))
    outline = sum(
        weight / far
        for weight, (p, q, far) in zip(weights, pairs, strict=True)
        if mask[p] != mask[q]
    )
    return outline - (level[mask] / half - 1).sum() * module.MAX_LOG_ODDS
