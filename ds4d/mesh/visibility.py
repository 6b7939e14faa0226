"""Rasterization of a mesh by index: the face that each pixel shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..cameras import Cameras
from ..errors import UserError
from ..kernels.numba import njit
from .mesh import Mesh

NEAR = 0.01  # world units; faces with a vertex nearer to the camera plane are not drawn


@dataclass(frozen=True)
class Hits:
    """The place of a mesh that each pixel's centre shows."""

    faces: np.ndarray  # [C, H, W] int32, -1 for none
    weights: np.ndarray  # [C, H, W, 3] float32, of the face's corners, exact in perspective, sum 1
    depth: np.ndarray  # [C, H, W] float64, infinite where there is no face


def visible_faces(mesh: Mesh, cameras: Cameras) -> np.ndarray:
    """Index of the face at each pixel's centre, -1 for none, [C, H, W] int32.

    Faces are visible from both sides.
    """
    shape = (len(cameras), cameras.height, cameras.width)
    visible, nearness = np.full(shape, -1, np.int32), np.zeros(shape)
    _rasterize(mesh.vertices.numpy(), mesh.faces.numpy(), _matrices(cameras), visible, nearness)
    return visible


def hits(mesh: Mesh, cameras: Cameras, visible: np.ndarray | None = None) -> Hits:
    """Visible place at each pixel's centre. Faces are visible from both sides.

    Args:
        visible: what `visible_faces` returned, if it is known.
    """
    visible = visible_faces(mesh, cameras) if visible is None else visible
    weights = np.zeros((*visible.shape, 3), np.float32)
    depth = np.full(visible.shape, np.inf)
    _weigh(mesh.vertices.numpy(), mesh.faces.numpy(), _matrices(cameras), visible, weights, depth)
    return Hits(visible, weights, depth)


def _matrices(cameras: Cameras) -> np.ndarray:
    """Matrices [C, 3, 4] float64 from the world to (u d, v d, d): pixel (u, v), depth d."""
    return (cameras.Ks.double() @ cameras.viewmats[:, :3].double()).numpy()


def no_object() -> UserError:
    """Error for a middle frame with an empty matte."""
    return UserError(
        "No object is visible in the middle frame.",
        "Check the mattes, or choose a clip whose object stays in the picture.",
    )


@njit(cache=True, error_model="numpy", nogil=True)
def _rasterize(
    vertices: np.ndarray,  # [M, 3] float32
    faces: np.ndarray,  # [F, 3] int64
    matrices: np.ndarray,  # [C, 3, 4] float64, world to (u d, v d, d): pixel (u, v), depth d
    visible: np.ndarray,  # [C, H, W] int32, starts at -1
    nearness: np.ndarray,  # [C, H, W] float64, 1 / depth of the visible face, starts at 0
) -> None:
    """Fill `visible` and `nearness` by a z-buffer over all faces."""
    cameras, height, width = visible.shape
    corner = np.empty((len(vertices), 3))  # u, v, 1 / d; the last is 0 where it is too near
    for c in range(cameras):
        P = matrices[c]
        for m in range(len(vertices)):
            x, y, z = vertices[m]
            depth = P[2, 0] * x + P[2, 1] * y + P[2, 2] * z + P[2, 3]
            corner[m, 0] = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * z + P[0, 3]) / depth
            corner[m, 1] = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * z + P[1, 3]) / depth
            corner[m, 2] = 1 / depth if depth >= NEAR else 0.0
        for f in range(len(faces)):
            x0, y0, near0 = corner[faces[f, 0]]
            x1, y1, near1 = corner[faces[f, 1]]
            x2, y2, near2 = corner[faces[f, 2]]
            if min(near0, near1, near2) == 0:
                continue
            left = math.ceil(max(min(x0, x1, x2) - 0.5, 0))
            right = math.floor(min(max(x0, x1, x2) - 0.5, width - 1))
            top = math.ceil(max(min(y0, y1, y2) - 0.5, 0))
            bottom = math.floor(min(max(y0, y1, y2) - 0.5, height - 1))
            area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
            if left > right or top > bottom or area == 0:
                continue
            # Shares of the corners and 1 / depth are linear in image space.
            share = 1 / area
            for row in range(top, bottom + 1):
                v = row + 0.5
                for column in range(left, right + 1):
                    u = column + 0.5
                    a = ((x1 - u) * (y2 - v) - (y1 - v) * (x2 - u)) * share
                    b = ((x2 - u) * (y0 - v) - (y2 - v) * (x0 - u)) * share
                    if a < 0 or b < 0 or a + b > 1:
                        continue
                    near = a * near0 + b * near1 + (1 - a - b) * near2
                    if near > nearness[c, row, column]:
                        nearness[c, row, column] = near
                        visible[c, row, column] = f


@njit(cache=True, error_model="numpy", nogil=True)
def _weigh(
    vertices: np.ndarray,  # [M, 3] float32
    faces: np.ndarray,  # [F, 3] int64
    matrices: np.ndarray,  # [C, 3, 4] float64, world to (u d, v d, d)
    visible: np.ndarray,  # [C, H, W] int32
    weights: np.ndarray,  # [C, H, W, 3] float32, stays as it is where there is no face
    depth: np.ndarray,  # [C, H, W] float64, likewise
) -> None:
    """Fill the weights of the corners of each pixel's face, and the depth there."""
    cameras, height, width = visible.shape
    u, v, d = np.empty(3), np.empty(3), np.empty(3)
    for c in range(cameras):
        P = matrices[c]
        for row in range(height):
            for column in range(width):
                f = visible[c, row, column]
                if f < 0:
                    continue
                for k in range(3):
                    x, y, z = vertices[faces[f, k]]
                    d[k] = P[2, 0] * x + P[2, 1] * y + P[2, 2] * z + P[2, 3]
                    u[k] = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * z + P[0, 3]) / d[k]
                    v[k] = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * z + P[1, 3]) / d[k]
                    u[k] -= column + 0.5
                    v[k] -= row + 0.5
                # Areas are shares in image space; divided by depth, they are shares in space.
                first = (u[1] * v[2] - v[1] * u[2]) / d[0]
                second = (u[2] * v[0] - v[2] * u[0]) / d[1]
                third = (u[0] * v[1] - v[0] * u[1]) / d[2]
                total = first + second + third
                weights[c, row, column, 0] = first / total
                weights[c, row, column, 1] = second / total
                weights[c, row, column, 2] = third / total
                depth[c, row, column] = (first * d[0] + second * d[1] + third * d[2]) / total
