"""Coloured isosurface of the density of Gaussians at one moment.

No correspondence between moments is needed: a Gaussian may cover different parts of the object over
time, so a mesh that moved with the Gaussians would tear.
"""

from __future__ import annotations

import numpy as np
import torch

from ..kernels.numba import njit
from ..mesh.mesh import Mesh
from ..splatting.splats import Splats

CUTOFF = 2.6  # standard deviations beyond which a Gaussian contributes nothing
LEVEL = 0.5  # isovalue: density is the sum of opacity times falloff
MIN_SCALE = 0.35  # cells; thinner Gaussians would fall between grid points
BOUND = 0.6  # world units from the origin; Gaussians farther out are floaters
MARGIN = 2.0  # standard deviations of the outermost Gaussians that the grid includes


def density_mesh(splats: Splats, cell: float) -> Mesh:
    """Extract the closed outer surface of the Gaussians.

    Density and colour are sampled on a grid, cavities are filled, and marching cubes extracts the
    isosurface. A vertex takes the density-weighted mean colour of the Gaussians around it.

    Args:
        splats: N Gaussians of an object centred at the origin.
        cell: grid spacing, world units.
    """
    from scipy.ndimage import label, map_coordinates
    from skimage.measure import marching_cubes

    means, whitening, spreads, opacities, colors = _shapes(splats, cell)
    inside = (np.abs(means) < BOUND).all(1)
    if not inside.any():
        return _empty_mesh()
    origin = (means - MARGIN * spreads)[inside].min(0)
    extent = (means + MARGIN * spreads)[inside].max(0) - origin
    field = np.zeros((4, *np.ceil(extent / cell).astype(int) + 1), np.float32)
    _accumulate(means, whitening, CUTOFF * spreads, opacities, colors, origin, cell, field)

    # The empty border closes surfaces at the edge of the grid and seeds the outside region.
    density = np.pad(field[0], 1)
    regions, _ = label(density <= LEVEL)
    density[(regions > 0) & (regions != regions[0, 0, 0])] = 2 * LEVEL  # cavities
    if density.max() <= LEVEL:
        return _empty_mesh()
    # Densities far above the level would bias the interpolated surface outwards.
    density = np.minimum(density, 2 * LEVEL)
    vertices, faces, _, _ = marching_cubes(density, LEVEL, gradient_direction="ascent")
    points = vertices.T - 1
    sums = np.stack([map_coordinates(c, points, order=1, mode="nearest") for c in field], 1)
    colors = sums[:, 1:] / np.maximum(sums[:, :1], 1e-6)
    return Mesh(
        torch.from_numpy((points.T * cell + origin).astype(np.float32)),
        torch.from_numpy(faces.astype(np.int64)),
        torch.from_numpy(colors.clip(0, 1).astype(np.float32)),
    )


def _empty_mesh() -> Mesh:
    return Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, 3))


def _shapes(splats: Splats, cell: float) -> tuple[np.ndarray, ...]:
    """Means [N, 3], whitening matrices [N, 3, 3], standard deviations along the world axes [N, 3],
    opacities [N] and colours [N, 3]; float64."""
    from scipy.spatial.transform import Rotation

    means, quats, scales, opacities, colors = (
        values.double().cpu().numpy()
        for values in (splats.means, splats.quats, splats.scales, splats.opacities, splats.colors)
    )
    scales = np.maximum(scales, MIN_SCALE * cell)
    axes = Rotation.from_quat(quats[:, [1, 2, 3, 0]]).as_matrix()  # [N, 3, 3], columns are axes
    spreads = np.linalg.norm(axes * scales[:, None], axis=2)
    return means, axes.swapaxes(1, 2) / scales[..., None], spreads, opacities, colors


@njit(cache=True, error_model="numpy", fastmath=True, nogil=True)
def _accumulate(means, whitening, extents, opacities, colors, origin, cell, field):
    """Accumulate density and density-weighted colour of all Gaussians into a field [4, X, Y, Z]."""
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for n in range(len(means)):
        for axis in range(3):
            center, extent = means[n, axis] - origin[axis], extents[n, axis]
            low[axis] = max(0, int(np.ceil((center - extent) / cell)))
            high[axis] = min(field.shape[axis + 1], int(np.floor((center + extent) / cell)) + 1)
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
                    if squared < CUTOFF * CUTOFF:
                        density = opacities[n] * np.exp(-0.5 * squared)
                        field[0, x, y, z] += density
                        field[1, x, y, z] += density * colors[n, 0]
                        field[2, x, y, z] += density * colors[n, 1]
                        field[3, x, y, z] += density * colors[n, 2]
