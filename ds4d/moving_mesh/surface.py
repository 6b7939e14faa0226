"""Surface of the Gaussians at a moment as a manifold mesh of a chosen number of triangles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..splatting.splats import Splats
from .density_mesh import density_mesh
from .geometry import Surface

CELLS = 120  # grid cells per world unit, which is roughly the object's longest side
SMOOTHING = 3  # rounds of Taubin's filter, which removes the terraces of the grid
PART = 0.01  # of the largest part's area; smaller ones are floaters
TARGET_TRIANGLES = 4000  # of a surface that another mesh is fitted to


def surface_of(splats: Splats) -> Surface | None:
    """Closed surface of the Gaussians of one moment, without floaters, smoothed; None if they are
    too faint to have one."""
    import trimesh

    found = density_mesh(splats, 1 / CELLS)
    if not len(found.faces):
        return None
    shape = trimesh.Trimesh(found.vertices.numpy(), found.faces.numpy(), process=False)
    parts = shape.split(only_watertight=False)
    largest = max(part.area for part in parts)
    shape = trimesh.util.concatenate([part for part in parts if part.area > PART * largest])
    # Taubin (1995): the second factor undoes the shrinking of the first.
    trimesh.smoothing.filter_taubin(shape, lamb=0.5, nu=0.53, iterations=2 * SMOOTHING)
    return Surface(np.asarray(shape.vertices), np.asarray(shape.faces))


def simplified(surface: Surface, triangles: int) -> Surface:
    """A surface with about this many triangles (Garland and Heckbert 1997), or fewer."""
    import fast_simplification

    if len(surface.faces) <= triangles:
        return surface
    vertices, faces = fast_simplification.simplify(
        surface.vertices.astype(np.float32), surface.faces.astype(np.int32), target_count=triangles
    )
    return Surface(vertices.astype(np.float64), faces.astype(np.int64))


def widest(surfaces: Sequence[Surface | None]) -> int:
    """Index of the surface with the largest area: limbs that touch have less of it, and a mesh
    whose limbs are joined cannot part them."""
    return int(np.argmax([surface.area() if surface else 0.0 for surface in surfaces]))
