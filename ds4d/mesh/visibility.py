"""A mesh in front of cameras: which face each pixel shows."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from torch import Tensor

from ..cameras import Cameras

NEAR = 0.01  # faces with a corner nearer to the camera plane than this are not drawn


def faces_seen(vertices: Tensor, faces: Tensor, cameras: Cameras) -> np.ndarray:
    """The face at each pixel's centre, from either side, -1 for none; [C, H, W] int32."""
    shape = (len(cameras), cameras.height, cameras.width)
    seen, nearness = np.full(shape, -1, np.int32), np.zeros(shape)
    matrices = cameras.Ks.double() @ cameras.viewmats[:, :3].double()
    _draw(vertices.numpy(), faces.numpy(), matrices.numpy(), seen, nearness)
    return seen


@njit(cache=True, error_model="numpy")
def _draw(
    vertices: np.ndarray,  # [M, 3] float32
    faces: np.ndarray,  # [F, 3] int64
    matrices: np.ndarray,  # [C, 3, 4] float64, world to (u d, v d, d) with pixels u, v and depth d
    seen: np.ndarray,  # [C, H, W] int32, starts at -1
    nearness: np.ndarray,  # [C, H, W] float64, 1 / depth of what is seen, starts at 0
) -> None:
    cameras, height, width = seen.shape
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
            # 1 / depth is linear in the picture.
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
                        seen[c, row, column] = f
