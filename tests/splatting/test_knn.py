from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

from ds4d.splatting.knn import mean_squared_neighbour_distance


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


class OnGPU(torch.Tensor):
    """A tensor that says it were on a GPU."""

    is_cuda = True


@pytest.fixture
def simple_knn(monkeypatch):
    """A stand-in for that package, which counts copies of a point as near as they are: 0."""
    asked = []

    def distCUDA2(points):
        assert points.shape[1] == 3 and points.dtype == torch.float32 and points.is_contiguous()
        asked.append(len(points))
        squared = torch.cdist(points.double(), points.double()) ** 2
        return squared.sort(1).values[:, 1:4].mean(1).float()

    package, compiled = ModuleType("simple_knn"), ModuleType("simple_knn._C")
    package._C, compiled.distCUDA2 = compiled, distCUDA2
    monkeypatch.setitem(sys.modules, "simple_knn", package)
    monkeypatch.setitem(sys.modules, "simple_knn._C", compiled)
    return asked


def test_simple_knn_searches_on_a_gpu_only_and_finds_the_same(simple_knn):
    points = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    expected = mean_squared_neighbour_distance(points)
    assert not simple_knn
    found = mean_squared_neighbour_distance(points.T.contiguous().T.as_subclass(OnGPU))
    assert simple_knn == [50]
    assert torch.allclose(found, expected, rtol=1e-4)
    copies = mean_squared_neighbour_distance(torch.ones(9, 3).as_subclass(OnGPU))
    assert torch.equal(copies, torch.full((9,), 1e-7))


def test_without_simple_knn_points_on_a_gpu_are_searched_in_the_tree(monkeypatch):
    monkeypatch.setitem(sys.modules, "simple_knn", None)
    points = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    found = mean_squared_neighbour_distance(points.as_subclass(OnGPU))
    assert torch.equal(found, mean_squared_neighbour_distance(points))
