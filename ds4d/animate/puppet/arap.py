"""As-rigid-as-possible deformation of a planar mesh (Sorkine and Alexa 2007).

Points of the plane are complex numbers x + iy, so that a rotation is a factor of length 1.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu

from .mesh import Mesh

HANDLE = 30.0  # weight of a handle's place, beside 1 of an edge
ANCHOR = 0.002  # weight of every vertex's place without handles, which keeps loose parts in place
ITERATIONS = 12


class Arap:
    """Deforms one mesh with a fixed set of handles."""

    def __init__(self, mesh: Mesh, handles: np.ndarray):
        """Args: handles: [K] indices of vertices that are led to given places."""
        self.first, self.second = mesh.edges().T
        self.count, self.handles = len(mesh.vertices), handles
        self.weight = np.full(self.count, ANCHOR)
        self.weight[handles] += HANDLE
        ones = np.ones(len(self.first))
        adjacency = coo_matrix((ones, (self.first, self.second)), (self.count,) * 2)
        adjacency = adjacency + adjacency.T
        degree = np.asarray(adjacency.sum(1)).ravel()
        self.solve = splu((diags(degree + self.weight) - adjacency).tocsc()).solve

    def deformed(self, rest: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Vertices whose edges are rotated, but hardly stretched.

        Args:
            rest: [V] complex, vertices as they are without handles.
            places: [K] complex, places of the handles.
        """
        edge = rest[self.second] - rest[self.first]
        wanted = ANCHOR * rest
        wanted[self.handles] += HANDLE * places
        found = rest.copy()
        found[self.handles] = places
        for _ in range(ITERATIONS):
            turn = self._rotations(edge, found[self.second] - found[self.first])
            pull = 0.5 * (turn[self.first] + turn[self.second]) * edge
            found = self._solved(
                wanted + self._sum(self.second, pull) - self._sum(self.first, pull)
            )
        return found

    def _rotations(self, edge: np.ndarray, now: np.ndarray) -> np.ndarray:
        """Rotation of each vertex that fits its edges best, [V] complex of length 1."""
        turned = edge.conj() * now
        total = self._sum(self.first, turned) + self._sum(self.second, turned)
        length = np.abs(total)
        return np.where(length > 1e-12, total / np.maximum(length, 1e-12), 1)

    def _sum(self, vertex: np.ndarray, values: np.ndarray) -> np.ndarray:
        real = np.bincount(vertex, values.real, self.count)
        return real + 1j * np.bincount(vertex, values.imag, self.count)

    def _solved(self, right: np.ndarray) -> np.ndarray:
        parts = self.solve(np.column_stack([right.real, right.imag]))
        return parts[:, 0] + 1j * parts[:, 1]
