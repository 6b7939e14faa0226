"""Surface of the Gaussians at a moment as a manifold mesh of a chosen number of triangles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components

from ..splatting.splats import Splats
from .density_mesh import density_mesh
from .geometry import Surface, face_normals

CELLS = 120  # grid cells per world unit, which is roughly the object's longest side
SMOOTHING = 3  # rounds of Taubin's filter (1995), which removes the terraces of the grid
PART = 0.01  # of the largest part's area; smaller ones are floaters
TARGET_TRIANGLES = 4000  # of a surface that another mesh is fitted to


def surface_of(splats: Splats) -> Surface | None:
    """Closed surface of the Gaussians of one moment, without floaters, smoothed; None if they are
    too faint to have one."""
    found = density_mesh(splats, 1 / CELLS)
    if not len(found.faces):
        return None
    vertices, faces = found.vertices.double().numpy(), found.faces.numpy()
    faces = faces[_large_parts(vertices, faces)]
    used, faces = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], faces.reshape(-1, 3)
    links = _links(faces, len(vertices))
    mean = diags(1 / np.asarray(links.sum(1))[:, 0]) @ links
    for factor in (0.5, -0.53) * SMOOTHING:  # the second one undoes the shrinking of the first
        vertices = vertices + factor * (mean @ vertices - vertices)
    return Surface(vertices, faces)


def _large_parts(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Mask [F] of the faces that belong to a part of the surface that is no floater."""
    count, part = connected_components(_links(faces, len(vertices)), directed=False)
    of_face = part[faces[:, 0]]
    areas = np.bincount(of_face, np.linalg.norm(face_normals(vertices, faces), axis=1), count)
    return (areas > PART * areas.max())[of_face]


def _links(faces: np.ndarray, count: int) -> csr_matrix:
    """Matrix [M, M], 1 where an edge of the closed surface joins two of the M vertices."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    links = csr_matrix((np.ones(len(start)), (start, end)), shape=(count, count))
    return ((links + links.T) > 0).astype(np.float64)


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
