"""Distances to nearest neighbours, from which Gaussians get their initial size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST = 1e-7  # squared distance; of a Gaussian that starts from copies of a point


def mean_squared_neighbour_distance(points: Tensor) -> Tensor:  # [N, 3] -> [N]
    """Mean squared distance of each point to its three nearest others, at least 1e-7.

    The initial scale of 3D Gaussian splatting (Kerbl et al. 2023) is the square root. Computed by a
    KD-tree; for points on a GPU by the `simple_knn` package, where installed, without a copy to the
    CPU. Raises ValueError for fewer than four points.
    """
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 4:
        raise ValueError(f"points must be [N, 3] with N >= 4, got {list(points.shape)}")
    search = _simple_knn() if points.is_cuda else None
    if search is not None:
        return search(points.detach().float().contiguous()).clamp(min=SMALLEST).to(points)
    from scipy.spatial import KDTree

    places = points.detach().cpu().double().numpy()
    distances, _ = KDTree(places).query(places, k=4)  # the nearest is the point itself
    squared = torch.from_numpy(distances[:, 1:] ** 2).mean(1)
    return squared.clamp(min=SMALLEST).to(points)


def _simple_knn() -> Callable[[Tensor], Tensor] | None:
    """Mean squared distances [N] of points [N, 3] on a GPU, by that package if it is there."""
    try:
        from simple_knn._C import distCUDA2
    except ImportError:
        return None
    return distCUDA2
