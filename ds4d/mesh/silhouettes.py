"""A mesh in front of cameras: which face each pixel shows."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from torch import Tensor

from ..cameras import Cameras, project

NEAR = 0.01  # faces with a corner nearer to the camera plane than this are not drawn


def faces_seen(vertices: Tensor, faces: Tensor, cameras: Cameras) -> np.ndarray:
    """The face at each pixel's centre, from either side, -1 for none; [C, H, W] int32."""
    pixels, depths = project(vertices, cameras)
    shape = (len(cameras), cameras.height, cameras.width)
    seen, nearness = np.full(shape, -1, np.int32), np.zeros(shape)
    _draw(pixels.double().numpy(), depths.double().numpy(), faces.numpy(), seen, nearness)
    return seen


@njit(cache=True, error_model="numpy")
def _draw(
    pixels: np.ndarray,  # [C, M, 2] float64
    depths: np.ndarray,  # [C, M] float64
    faces: np.ndarray,  # [F, 3] int64
    seen: np.ndarray,  # [C, H, W] int32, starts at -1
    nearness: np.ndarray,  # [C, H, W] float64, 1 / depth of what is seen, starts at 0
) -> None:
    cameras, height, width = seen.shape
    for c in range(cameras):
        for f in range(len(faces)):
            i, j, k = faces[f]
            if min(depths[c, i], depths[c, j], depths[c, k]) < NEAR:
                continue
            x0, y0 = pixels[c, i]
            x1, y1 = pixels[c, j]
            x2, y2 = pixels[c, k]
            left = math.ceil(max(min(x0, x1, x2) - 0.5, 0))
            right = math.floor(min(max(x0, x1, x2) - 0.5, width - 1))
            top = math.ceil(max(min(y0, y1, y2) - 0.5, 0))
            bottom = math.floor(min(max(y0, y1, y2) - 0.5, height - 1))
            area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
            if left > right or top > bottom or area == 0:
                continue
            # 1 / depth is linear in the picture.
            near0, near1, near2 = 1 / depths[c, i], 1 / depths[c, j], 1 / depths[c, k]
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
