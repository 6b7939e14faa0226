"""Surface extraction: a density on a grid, thresholded, reduced to its largest component."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
import torch
from torch import Tensor

from ...errors import UserError

LEVEL = 10.0  # density at the surface, as published


def sample_density(
    density: Callable[[Tensor], Tensor],  # [P, 3] in [-1, 1] -> [P]
    resolution: int,
    chunk: int,  # points at once
    device: torch.device,
) -> Generator[None, None, np.ndarray]:
    """Sample a density on a grid from -1 to 1, [X, Y, Z] float32; yields after each chunk."""
    axis = torch.linspace(-1, 1, resolution, device=device)
    values = torch.empty(resolution**3)
    for start in range(0, len(values), chunk):
        index = torch.arange(start, min(start + chunk, len(values)), device=device)
        x, yz = index // resolution**2, index % resolution**2
        points = axis[torch.stack([x, yz // resolution, yz % resolution], -1)]
        values[start : start + len(index)] = density(points).cpu()
        yield
    return values.reshape(resolution, resolution, resolution).numpy()


def extract_surface(
    density: np.ndarray,  # [R, R, R], sampled from -1 to 1
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [M, 3] float32 in [-1, 1] and faces [F, 3] int64, outward, of the largest component.

    The surface is closed: outside the grid the density is 0.

    Raises:
        UserError: the density reaches the surface's level nowhere.
    """
    from skimage.measure import marching_cubes

    if not density.max() > LEVEL:  # a NaN is no surface either
        raise UserError(
            "InstantMesh found no surface in these views.",
            "Carve the mesh from the silhouettes instead: --mesh.engine visual_hull.",
        )
    vertices, faces, _, _ = marching_cubes(np.pad(density, 1), LEVEL, allow_degenerate=False)
    vertices = (vertices - 1) * (2 / (len(density) - 1)) - 1
    vertices, faces = largest_component(vertices.clip(-1, 1), faces.astype(np.int64))
    return vertices.astype(np.float32), faces


def largest_component(
    vertices: np.ndarray,  # [M, 3]
    faces: np.ndarray,  # [F, 3]
) -> tuple[np.ndarray, np.ndarray]:
    """The connected component that encloses most, wound anticlockwise seen from outside.

    Bubbles inside it are components of their own and go as well: no camera sees them.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    links = coo_array((np.ones(len(edges), bool), edges.T), shape=(len(vertices),) * 2)
    _, component = connected_components(links, directed=False)
    volume = np.bincount(component[faces[:, 0]], np.linalg.det(vertices[faces].astype(np.float64)))
    largest = np.abs(volume).argmax()
    kept = component == largest
    faces = (np.cumsum(kept) - 1)[faces[kept[faces[:, 0]]]]
    return vertices[kept], faces if volume[largest] > 0 else faces[:, ::-1].copy()
