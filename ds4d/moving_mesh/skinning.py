"""Skeleton of a moving mesh: rigid bones and weights by skinning decomposition.

Dem Bones (Le and Deng 2012, "Smooth skinning decomposition with rigid bones") finds both at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Surface
from .rigidity import welded

INFLUENCES = 4  # bones of a vertex at most, as engines have it
ITERATIONS = 30


@dataclass(frozen=True)
class Skin:
    """B bones that move M vertices by linear blend skinning."""

    bones: np.ndarray  # [M, 4] index of each vertex's bones
    weights: np.ndarray  # [M, 4] theirs, sum 1, 0 where there are fewer
    transforms: np.ndarray  # [T, B, 4, 4] from the rest pose to each frame, rigid, world
    centres: np.ndarray  # [B, 3] where each bone is in the rest pose, world

    def vertices(self, rest: np.ndarray) -> np.ndarray:
        """Vertices [T, M, 3] of a rest pose [M, 3] as viewers compute them."""
        points = np.concatenate([rest, np.ones((len(rest), 1))], 1)
        moved = np.zeros((len(self.transforms), len(rest), 3))
        for slot in range(INFLUENCES):
            matrices = self.transforms[:, self.bones[:, slot], :3]
            share = self.weights[:, slot, None]
            moved += share * np.einsum("tmij,mj->tmi", matrices, points)
        return moved


def decompose(
    surface: Surface,  # in the rest pose
    vertices: np.ndarray,  # [T, M, 3]
    bones: int,  # at most
) -> Skin:
    """Bones and weights with which the rest pose comes near to all frames.

    Vertices at equal places get equal weights, so that seams stay closed.
    """
    from py_dem_bones import solve_skinning

    point, points = welded(surface.vertices)
    first = np.full(len(points), -1)
    first[point[::-1]] = np.arange(len(point))[::-1]
    faces = point[surface.faces]
    i, j, k = faces.T
    faces = faces[(i != j) & (j != k) & (k != i)]
    found = solve_skinning(
        points, vertices[:, first], min(bones, len(points)), faces=faces.tolist(),
        max_influences=INFLUENCES, iterations=ITERATIONS,
    )  # fmt: skip
    dense, transforms = found.weights.T, found.transforms
    order = np.argsort(-dense, axis=1, kind="stable")[:, :INFLUENCES]
    weights = np.take_along_axis(dense, order, 1).clip(0)
    padding = ((0, 0), (0, INFLUENCES - order.shape[1]))
    order, weights = np.pad(order, padding), np.pad(weights, padding)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-12)
    order[weights == 0] = 0
    mass = dense.sum(0)[:, None]
    centres = np.where(mass > 0, dense.T @ points / np.maximum(mass, 1e-12), points.mean(0))
    return Skin(order[point], weights[point], transforms, centres)
