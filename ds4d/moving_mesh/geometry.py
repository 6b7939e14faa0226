"""Triangle surfaces as arrays, and the nearest points of one on another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

NEIGHBOURS = 4  # nearest vertices among which one with a similar normal is looked for
SIMILAR = 0.3  # cosine between two normals of one side of a surface


@dataclass(frozen=True)
class Surface:
    """M vertices and F triangles, counterclockwise seen from outside."""

    vertices: np.ndarray  # [M, 3] float64, world units
    faces: np.ndarray  # [F, 3] int64

    @cached_property
    def normals(self) -> np.ndarray:
        """Unit normals of the vertices, [M, 3]."""
        return vertex_normals(self.vertices, self.faces)

    @cached_property
    def tree(self) -> cKDTree:
        """Search tree of the vertices."""
        return cKDTree(self.vertices)

    def area(self) -> float:
        """Area of all triangles, square world units."""
        return float(np.linalg.norm(face_normals(self.vertices, self.faces), axis=-1).sum() / 2)


def face_normals(
    vertices: np.ndarray,  # [..., M, 3]
    faces: np.ndarray,  # [F, 3]
) -> np.ndarray:
    """Normals [..., F, 3], each as long as twice the area of its triangle."""
    a, b, c = (vertices[..., faces[:, k], :] for k in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(
    vertices: np.ndarray,  # [M, 3]
    faces: np.ndarray,  # [F, 3]
) -> np.ndarray:
    """Unit normals [M, 3]: means of those of the faces around, weighted by area."""
    normals = face_normals(vertices, faces)
    sums = np.stack(
        [
            np.bincount(faces.ravel(), np.repeat(normals[:, axis], 3), len(vertices))
            for axis in range(3)
        ],
        1,
    )
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def facing_nearest(
    tree: cKDTree,  # of points with normals
    normals: np.ndarray,  # [S, 3] theirs
    points: np.ndarray,  # [P, 3]
    directions: np.ndarray,  # [P, 3] their normals
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest of the tree's points with a similar normal: indices [P], distances [P].

    The distance is infinite where none of the nearest few has one.
    """
    distances, indices = tree.query(points, k=NEIGHBOURS)
    similar = np.einsum("pki,pi->pk", normals[indices], directions) > SIMILAR
    distances = np.where(similar, distances, np.inf)
    best = distances.argmin(1)[:, None]
    return np.take_along_axis(indices, best, 1)[:, 0], np.take_along_axis(distances, best, 1)[:, 0]
