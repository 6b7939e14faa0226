"""Gaussians of one moment -> a coloured mesh: where their density reaches a level.

It needs no correspondence between moments: Gaussians may change the part of the object that they
draw, so a mesh that moved with them would tear.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit

from ..mesh import Mesh
from ..splatting.splats import Splats

REACH = 2.6  # standard deviations at which a Gaussian ends
LEVEL = 0.5  # density (the sum of opacities, each falling off) at the surface
THINNEST = 0.35  # standard deviation that the grid can still see, cells
BOUND = 0.6  # world units from the origin; what flies farther out is no part of the object
MARGIN = 2.0  # standard deviations of the outermost Gaussians that are still on the grid


def surface(splats: Splats, cell: float) -> Mesh:
    """The closed surface of the Gaussians, without anything inside it.

    Density and colour are sampled on a grid, cavities are filled, and marching cubes finds the
    level. Each vertex has the mean colour of the Gaussians around it, weighted by their density.

    Args:
        splats: N Gaussians of an object about the origin.
        cell: of the grid, world units.
    """
    from scipy.ndimage import label, map_coordinates
    from skimage.measure import marching_cubes

    means, whitening, spreads, opacities, colors = _shapes(splats, cell)
    inside = (np.abs(means) < BOUND).all(1)
    if not inside.any():
        return _nothing()
    origin = (means - MARGIN * spreads)[inside].min(0)
    extent = (means + MARGIN * spreads)[inside].max(0) - origin
    field = np.zeros((4, *np.ceil(extent / cell).astype(int) + 1), np.float32)
    _spread(means, whitening, REACH * spreads, opacities, colors, origin, cell, field)

    # An empty border closes a surface that would leave the grid, and is the outside's beginning.
    density = np.pad(field[0], 1)
    regions, _ = label(density <= LEVEL)
    density[(regions > 0) & (regions != regions[0, 0, 0])] = 2 * LEVEL  # cavities
    if density.max() <= LEVEL:
        return _nothing()
    # What is far above the level would draw the surface towards the empty side of its cell.
    density = np.minimum(density, 2 * LEVEL)
    vertices, faces, _, _ = marching_cubes(density, LEVEL, gradient_direction="ascent")
    places = vertices.T - 1
    sums = np.stack([map_coordinates(c, places, order=1, mode="nearest") for c in field], 1)
    colors = sums[:, 1:] / np.maximum(sums[:, :1], 1e-6)
    return Mesh(
        torch.from_numpy((places.T * cell + origin).astype(np.float32)),
        torch.from_numpy(faces.astype(np.int64)),
        torch.from_numpy(colors.clip(0, 1).astype(np.float32)),
    )


def _nothing() -> Mesh:
    return Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, 3))


def _shapes(splats: Splats, cell: float) -> tuple[np.ndarray, ...]:
    """Means [N, 3], what turns an offset into standard deviations [N, 3, 3], standard deviations
    along the axes of the world [N, 3], opacities [N] and colours [N, 3]; float64."""
    from scipy.spatial.transform import Rotation

    means, quats, scales, opacities, colors = (
        values.double().cpu().numpy()
        for values in (splats.means, splats.quats, splats.scales, splats.opacities, splats.colors)
    )
    scales = np.maximum(scales, THINNEST * cell)
    axes = Rotation.from_quat(quats[:, [1, 2, 3, 0]]).as_matrix()  # [N, 3, 3], columns are axes
    spreads = np.linalg.norm(axes * scales[:, None], axis=2)
    return means, axes.swapaxes(1, 2) / scales[..., None], spreads, opacities, colors


@njit(cache=True, error_model="numpy", fastmath=True)
def _spread(means, whitening, reaches, opacities, colors, origin, cell, field):
    """Add each Gaussian's density, and its colour times that, to the field [4, X, Y, Z]."""
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for n in range(len(means)):
        for axis in range(3):
            place, reach = means[n, axis] - origin[axis], reaches[n, axis]
            low[axis] = max(0, int(np.ceil((place - reach) / cell)))
            high[axis] = min(field.shape[axis + 1], int(np.floor((place + reach) / cell)) + 1)
        w = whitening[n]
        for x in range(low[0], high[0]):
            dx = origin[0] + x * cell - means[n, 0]
            for y in range(low[1], high[1]):
                dy = origin[1] + y * cell - means[n, 1]
                a = w[0, 0] * dx + w[0, 1] * dy
                b = w[1, 0] * dx + w[1, 1] * dy
                c = w[2, 0] * dx + w[2, 1] * dy
                for z in range(low[2], high[2]):
                    dz = origin[2] + z * cell - means[n, 2]
                    squared = (a + w[0, 2] * dz) ** 2
                    squared += (b + w[1, 2] * dz) ** 2 + (c + w[2, 2] * dz) ** 2
                    if squared < REACH * REACH:
                        density = opacities[n] * np.exp(-0.5 * squared)
                        field[0, x, y, z] += density
                        field[1, x, y, z] += density * colors[n, 0]
                        field[2, x, y, z] += density * colors[n, 1]
                        field[3, x, y, z] += density * colors[n, 2]
