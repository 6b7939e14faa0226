"""Frechet distances between Gaussians fitted to features of images or videos."""

from __future__ import annotations

import numpy as np


def of_sets(features: np.ndarray, others: np.ndarray) -> float:
    """Distance of two sets of features, [N, D] and [M, D], with at least two of each.

    It is |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^0.5) of their means m and covariances S (Dowson and
    Landau 1982). With S1 = A A^T and S2 = B B^T the last trace is the sum of the singular values of
    A^T B, which is exact for fewer features than dimensions, too.
    """
    offset = features.mean(0) - others.mean(0)
    own, other = (_deviations(each.astype(np.float64)) for each in (features, others))
    shared = np.linalg.svd(own @ other.T, compute_uv=False).sum()
    return float((offset**2).sum() + (own**2).sum() + (other**2).sum() - 2 * shared)


def _deviations(features: np.ndarray) -> np.ndarray:
    """The matrix [N, D] whose square X^T X is the covariance of features."""
    return (features - features.mean(0)) / np.sqrt(len(features) - 1)


def of_pair(features: np.ndarray, other: np.ndarray) -> float:
    """Distance of one video and one other by Consistent4D's script, [D] each.

    Its covariance of a single sample is, by numpy before 2.2, the variance over the D features, so
    that the distance has a closed form (docs/method.md, section 13).
    """
    spread = np.std(features, ddof=1) - np.std(other, ddof=1)
    return float(((features - other) ** 2).sum() + spread**2)
