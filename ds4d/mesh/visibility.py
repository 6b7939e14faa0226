"""Rasterization of a mesh by index: the face that each pixel shows."""

from __future__ import annotations

import math

import numpy as np

from ..cameras import Cameras
from ..errors import UserError
from ..kernels.numba import njit
from .mesh import Mesh

NEAR = 0.01  # world units; faces with a vertex nearer to the camera plane are not drawn


def visible_faces(mesh: Mesh, cameras: Cameras) -> np.ndarray:
    """Index of the face at each pixel's centre, -1 for none, [C, H, W] int32.

    Faces are visible from both sides.
    """
    shape = (len(cameras), cameras.height, cameras.width)
    visible, nearness = np.full(shape, -1, np.int32), np.zeros(shape)
    matrices = cameras.Ks.double() @ cameras.viewmats[:, :3].double()
    _rasterize(mesh.vertices.numpy(), mesh.faces.numpy(), matrices.numpy(), visible, nearness)
    return visible


def barycentric(
    mesh: Mesh,
    cameras: Cameras,  # C
    visible: np.ndarray,  # [C, H, W] from `visible_faces`
) -> np.ndarray:
    """Weights of the three vertices of the face at each pixel's centre, [C, H, W, 3], sum 1.

    They are exact in perspective. Pixels without a face have weights of no meaning.
    """
    rows, columns = np.mgrid[: cameras.height, : cameras.width] + 0.5
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1)
    rotations = cameras.viewmats[:, :3, :3].double().numpy()
    to_rays = rotations.swapaxes(1, 2) @ np.linalg.inv(cameras.Ks.double().numpy())
    centres, corners = cameras.centres().double().numpy(), mesh.corners().double().numpy()
    weights = np.empty((*visible.shape, 3))
    for c, faces in enumerate(visible):
        ray = pixels @ to_rays[c].T
        a, b, d = np.moveaxis(corners[faces] - centres[c], 2, 0)
        # The ray's coefficients in the directions of the corners, by Cramer's rule.
        volumes = [(ray * np.cross(*pair)).sum(-1) for pair in ((b, d), (d, a), (a, b))]
        total = np.sum(volumes, 0)
        weights[c] = np.stack(volumes, -1) / np.where(total == 0, 1.0, total)[..., None]
    return weights


def depth_of_faces(mesh: Mesh, cameras: Cameras, visible: np.ndarray) -> np.ndarray:
    """Depth of the visible face at each pixel's centre, infinite without one, [C, H, W]."""
    forward = cameras.viewmats[:, 2].double().numpy()
    depths = forward[:, :3] @ mesh.vertices.double().numpy().T + forward[:, 3:]
    corner = mesh.faces.numpy()[visible]  # [C, H, W, 3]
    at = np.take_along_axis(depths, corner.reshape(len(visible), -1), 1).reshape(corner.shape)
    depth = (barycentric(mesh, cameras, visible) * at).sum(-1)
    return np.where(visible >= 0, depth, np.inf)


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
    corner = np.empty((len(vertices), 3))  # u, v, d
    for c in range(cameras):
        P = matrices[c]
        for m in range(len(vertices)):
            x, y, z = vertices[m]
            depth = P[2, 0] * x + P[2, 1] * y + P[2, 2] * z + P[2, 3]
            corner[m, 0] = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * z + P[0, 3]) / depth
            corner[m, 1] = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * z + P[1, 3]) / depth
            corner[m, 2] = depth
        for f in range(len(faces)):
            x0, y0, depth0 = corner[faces[f, 0]]
            x1, y1, depth1 = corner[faces[f, 1]]
            x2, y2, depth2 = corner[faces[f, 2]]
            if min(depth0, depth1, depth2) < NEAR:
                continue
            left = math.ceil(max(min(x0, x1, x2) - 0.5, 0))
            right = math.floor(min(max(x0, x1, x2) - 0.5, width - 1))
            top = math.ceil(max(min(y0, y1, y2) - 0.5, 0))
            bottom = math.floor(min(max(y0, y1, y2) - 0.5, height - 1))
            area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
            if left > right or top > bottom or area == 0:
                continue
            # 1 / depth is linear in image space.
            near0, near1, near2 = 1 / depth0, 1 / depth1, 1 / depth2
            for row in range(top, bottom + 1):
                v = row + 0.5
                for column in range(left, right + 1):
                    u = column + 0.5
                    a = ((x1 - u) * (y2 - v) - (y1 - v) * (x2 - u)) / area
                    b = ((x2 - u) * (y0 - v) - (y2 - v) * (x0 - u)) / area
                    if a < 0 or b < 0 or a + b > 1:
                        continue
                    near = a * near0 + b * near1 + (1 - a - b) * near2
                    if near > nearness[c, row, column]:
                        nearness[c, row, column] = near
                        visible[c, row, column] = f
