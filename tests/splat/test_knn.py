from __future__ import annotations

import pytest
import torch

from ds4d.splat.knn import mean_squared_neighbour_distance


def test_it_equals_the_search_through_all_pairs():
    points = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    squared = torch.cdist(points.double(), points.double()) ** 2
    expected = squared.sort(1).values[:, 1:4].mean(1).float()
    assert torch.allclose(mean_squared_neighbour_distance(points), expected, rtol=1e-5)


def test_copies_of_a_point_keep_a_size():
    assert torch.equal(mean_squared_neighbour_distance(torch.ones(9, 3)), torch.full((9,), 1e-7))


@pytest.mark.parametrize("shape", [(3, 3), (10, 2), (10,)])
def test_too_few_points_or_axes_are_refused(shape):
    with pytest.raises(ValueError, match="points"):
        mean_squared_neighbour_distance(torch.zeros(shape))
