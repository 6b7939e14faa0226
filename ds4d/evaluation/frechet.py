"""Frechet distances between Gaussians fitted to features of images or videos."""

from __future__ import annotations

import numpy as np


def distance(
    mean: np.ndarray,  # [D]
    covariance: np.ndarray,  # [D, D]
    other_mean: np.ndarray,  # [D]
    other_covariance: np.ndarray,  # [D, D]
) -> float:
    """Squared Frechet distance of two Gaussians (Dowson and Landau 1982)."""
    # The trace of the root of a product of two covariances, by roots of symmetric matrices.
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    mixed = np.linalg.eigvalsh(root @ other_covariance @ root).clip(min=0)
    traces = np.trace(covariance) + np.trace(other_covariance) - 2 * np.sqrt(mixed).sum()
    return float(((mean - other_mean) ** 2).sum() + traces)


def of_sets(features: np.ndarray, others: np.ndarray) -> float:
    """Distance of two sets of features, [N, D] and [M, D], with at least two of each."""
    mean, other_mean = features.mean(0), others.mean(0)
    return distance(
        mean, np.atleast_2d(np.cov(features, rowvar=False)),
        other_mean, np.atleast_2d(np.cov(others, rowvar=False)),
    )  # fmt: skip


def of_pair(features: np.ndarray, other: np.ndarray) -> float:
    """Distance of one video and one other by Consistent4D's script, [D] each.

    Its covariance of a single sample is, by numpy before 2.2, the variance over the D features, so
    that the distance has a closed form (docs/method.md, section 13).
    """
    spread = np.std(features, ddof=1) - np.std(other, ddof=1)
    return float(((features - other) ** 2).sum() + spread**2)
