"""Depths that follow the normals towards the rim, where a network's depth is blurred.

Least squares on each frame: depths are near the given ones, neighbouring pixels as far apart as
their normals say. Steps that no normal explains, as where a leg is in front of another, stay.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import distance_transform_edt

RIM = 6.0  # pixels from the outline within which a given depth counts less
AT_RIM = 0.05  # its weight at the outline
TIE = 40.0  # weight of the step between two neighbours, over that of a depth
STEP = 0.004  # widths that a step and the normals differ by from which on it is an edge
STEEPEST = 6.0  # largest slope, depth by width, that a normal stands for
ITERATIONS = 60  # of the solver


def slopes_of(normals: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Slopes [..., G, G, 2] of surfaces over columns and rows, depth by width.

    Args:
        normals: [..., G, G, 3] of any length, OpenCV axes, towards the camera.
        K: [3, 3] of the camera, pixels.
    """
    rows, columns = np.indices(normals.shape[-3:-1]) + 0.5
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(K).T
    sideways = np.hypot(normals[..., 0], normals[..., 1])
    facing = np.maximum(-(normals * rays).sum(-1), sideways / STEEPEST)
    return normals[..., :2] / np.maximum(facing, 1e-6)[..., None]


def carved(depth: np.ndarray, slopes: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Depth [G, G] in widths that agrees with slopes [G, G, 2]; it stays the same outside."""
    G = len(depth)
    from_rim = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] / RIM
    weights = inside * np.minimum(AT_RIM + (1 - AT_RIM) * from_rim, 1)
    ties, missing = [], []  # [G, G] for the pixel and its right, or its lower neighbour
    for axis in (1, 0):
        step = (slopes[..., 1 - axis] + _next(slopes[..., 1 - axis], axis)) / 2 / G
        missing.append(step - (_next(depth, axis) - depth))
        both = inside & _next(inside, axis)
        ties.append(TIE * both / (1 + (missing[-1] / STEP) ** 2) ** 2)

    def spread(pulls: list[np.ndarray]) -> np.ndarray:
        """Sums over the pixels of what pulls each of them towards its neighbours."""
        return sum(_previous(pull, axis) - pull for pull, axis in zip(pulls, (1, 0), strict=True))

    def matrix(change: np.ndarray) -> np.ndarray:
        steps = [_next(change, axis) - change for axis in (1, 0)]
        return weights * change + spread([t * s for t, s in zip(ties, steps, strict=True)])

    pulls = [tie * lack for tie, lack in zip(ties, missing, strict=True)]
    diagonal = weights + sum(t + _previous(t, axis) for t, axis in zip(ties, (1, 0), strict=True))
    return depth + _solved(matrix, spread(pulls), np.maximum(diagonal, 1e-6))


def _next(values: np.ndarray, axis: int) -> np.ndarray:
    """Values [G, G] of each pixel's next neighbour along an axis; the last ones are their own."""
    last = values[-1:] if axis == 0 else values[:, -1:]
    return np.concatenate([values[1:] if axis == 0 else values[:, 1:], last], axis)


def _previous(values: np.ndarray, axis: int) -> np.ndarray:
    """Values [G, G] of each pixel's previous neighbour along an axis; 0 for the first ones."""
    kept = values[:-1] if axis == 0 else values[:, :-1]
    return np.pad(kept, ((1, 0), (0, 0)) if axis == 0 else ((0, 0), (1, 0)))


def _solved(
    matrix: Callable[[np.ndarray], np.ndarray], right: np.ndarray, diagonal: np.ndarray
) -> np.ndarray:
    """Solution [G, G] by conjugate gradients, preconditioned by the matrix's diagonal."""
    solution, rest = np.zeros_like(right), right
    direction = scaled = rest / diagonal
    size = (rest * scaled).sum()
    for _ in range(ITERATIONS):
        if size < 1e-14:
            break
        image = matrix(direction)
        step = size / (direction * image).sum()
        solution, rest = solution + step * direction, rest - step * image
        scaled = rest / diagonal
        size, before = (rest * scaled).sum(), size
        direction = scaled + size / before * direction
    return solution
