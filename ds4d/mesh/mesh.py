"""The triangle mesh that all engines return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Mesh:
    """M coloured vertices and F triangles in world coordinates (Z up)."""

    vertices: Tensor  # [M, 3] float32
    faces: Tensor  # [F, 3] int64 vertex indices, counterclockwise seen from outside
    colors: Tensor  # [M, 3] float32 in [0, 1], sRGB

    @classmethod
    def from_arrays(cls, vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray) -> Mesh:
        """Mesh of arrays of any precision, without the vertices that no face uses."""
        used, faces = np.unique(faces, return_inverse=True)
        return cls(
            torch.from_numpy(vertices[used].astype(np.float32)),
            torch.from_numpy(faces.reshape(-1, 3).astype(np.int64)),
            torch.from_numpy(colors[used].astype(np.float32)),
        )

    def corners(self) -> Tensor:
        """Positions of each face's three vertices, [F, 3, 3]."""
        return self.vertices[self.faces]

    def face_normals(self) -> Tensor:
        """Outward normals of the faces, not normalised: each as long as twice its area, [F, 3]."""
        corners = self.corners()
        edges = corners[:, 1:] - corners[:, :1]
        return torch.cross(edges[:, 0], edges[:, 1], dim=-1)

    def face_colors(self) -> Tensor:
        """Mean colour of each face, [F, 3] in [0, 1]."""
        return self.colors[self.faces].mean(1)


def areas(corners: np.ndarray) -> np.ndarray:
    """Areas [F] of triangles [F, 3, 3]."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.linalg.norm(cross, axis=-1) / 2


def transformed(vertices: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """Vertices [M, 3] moved by a transform [4, 4]."""
    return vertices @ transform[:3, :3].T + transform[:3, 3]
