"""Frechet distances of features."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from ds4d.evaluation import frechet

CHANCE = np.random.default_rng(0)


def usual(features: np.ndarray, others: np.ndarray) -> float:
    """The distance by the covariances, as the usual code computes it."""
    first, second = np.cov(features, rowvar=False), np.cov(others, rowvar=False)
    offset = features.mean(0) - others.mean(0)
    return (offset**2).sum() + np.trace(first + second - 2 * sqrtm(first @ second).real)


def test_the_distance_is_that_of_the_usual_code():
    features, others = CHANCE.normal(size=(60, 5)), CHANCE.normal(size=(40, 5)) * [1, 2, 3, 4, 5]
    assert frechet.of_sets(features, others) == pytest.approx(usual(features, others))


def test_fewer_features_than_dimensions_are_no_trouble():
    """They span few dimensions, to which a rotation brings them."""
    few, others = CHANCE.normal(size=(2, 8, 4))
    turn = np.linalg.qr(CHANCE.normal(size=(30, 30)))[0][:4]
    assert frechet.of_sets(few @ turn, others @ turn) == pytest.approx(usual(few, others))


def test_known_gaussians_have_the_analytic_distance():
    first = np.array([[-1.0], [1.0]]) * np.sqrt(2)  # of variance 4
    second = 3 + np.array([[-1.0], [1.0]]) * 5 / np.sqrt(2)  # of variance 25
    assert frechet.of_sets(first, second) == pytest.approx(3**2 + (5 - 2) ** 2)


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
