"""Frechet distances of features."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from ds4d.evaluation import frechet

CHANCE = np.random.default_rng(0)


def covariance(size: int) -> np.ndarray:
    factor = CHANCE.normal(size=(size, size))
    return factor @ factor.T


def test_a_gaussian_has_no_distance_to_itself():
    mean, spread = CHANCE.normal(size=6), covariance(6)
    assert frechet.distance(mean, spread, mean, spread) == pytest.approx(0, abs=1e-8)


def test_known_gaussians_have_the_analytic_distance():
    one = frechet.distance(np.zeros(1), np.array([[4.0]]), np.array([3.0]), np.array([[25.0]]))
    assert one == pytest.approx(3**2 + (5 - 2) ** 2)
    a, b = np.diag([1.0, 9.0]), np.diag([4.0, 16.0])
    assert frechet.distance(np.zeros(2), a, np.array([1.0, 2.0]), b) == pytest.approx(5 + 1 + 1)


def test_the_distance_is_that_of_the_usual_code():
    means, spreads = CHANCE.normal(size=(2, 5)), [covariance(5), covariance(5)]
    usual = ((means[0] - means[1]) ** 2).sum() + np.trace(
        spreads[0] + spreads[1] - 2 * sqrtm(spreads[0] @ spreads[1]).real
    )
    assert frechet.distance(means[0], spreads[0], means[1], spreads[1]) == pytest.approx(usual)


def test_the_order_in_a_set_does_not_matter_and_a_shift_does():
    features = CHANCE.normal(size=(50, 4))
    assert frechet.of_sets(features, features[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet.of_sets(features, features + 2) == pytest.approx(16)


def test_a_pair_is_scored_as_by_consistent4d():
    """A literal transcription of its script, with the covariance that numpy < 2.2 computes."""
    first, second = CHANCE.normal(size=(2, 400)) * [[1], [3]]

    def statistics(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        single = logits[None]
        # np.cov(single, rowvar=False) did not transpose one row: the variance over its columns.
        return single.mean(0), np.atleast_2d(np.cov(single, rowvar=True))

    (mean1, sigma1), (mean2, sigma2) = statistics(first), statistics(second)
    difference = mean1 - mean2
    root = sqrtm(sigma1 @ sigma2).real
    expected = difference @ difference + np.trace(sigma1) + np.trace(sigma2) - 2 * np.trace(root)
    assert frechet.of_pair(first, second) == pytest.approx(expected)
    assert frechet.of_pair(first, first) == 0
