"""The benchmark of the embedded features: what counts as motion, and how a ranking is scored."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.descriptors import GRID, average_precision, relit, scores

SIZE = 7 * GRID


def blob(column: int) -> np.ndarray:
    """A square at a column and one that rests, [1, S, S, 4]."""
    image = np.zeros((1, SIZE, SIZE, 4), np.uint8)
    image[0, 20:41, column : column + 21] = (200, 120, 40, 255)
    image[0, 80:101, 70:91] = (40, 120, 200, 255)
    return image


def test_average_precision_of_known_rankings():
    truth = np.array([True, False, True, False])
    assert average_precision(np.array([4.0, 2, 3, 1]), truth) == 1
    assert average_precision(np.array([1.0, 4, 2, 3]), truth) == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_what_moves_is_found_in_a_light_that_changes():
    clean = np.stack([blob(14), blob(35), blob(56)])
    row = scores(clean, relit(clean), middle=1)
    assert 0.3 < row["moving"] < 0.9
    assert row["features"] > 0.95
