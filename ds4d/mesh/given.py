"""Mesh engine for the user's own mesh: from another generator, a scanner or a modelling program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..cameras import Cameras, orbit_cameras
from ..run.events import Event, Stage
from . import align
from .mesh import Mesh
from .read import load
from .visibility import visible_faces

FRONT_WEIGHT = 8.0  # of the front view in painted colours; it decides wherever it sees the mesh
MERGE = 1e-6  # of the mesh's extent: closer vertices are connected


def run(
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view
    cameras: Cameras,  # V
    resolution: int,  # unused: the mesh keeps its own resolution
    *,
    file: Path,
) -> Stage[Mesh]:
    """Load a mesh file and align it with the views: rotation, scale and translation.

    Warns about missing textures and a poor fit. A mesh without colours is painted with those of
    the views.

    Raises:
        UserError: the file cannot be used, or the front view shows no object.
    """
    yield Event("mesh", message=f"reading {Path(file).name}")
    mesh, colored, warnings = load(file)
    for warning in warnings:
        yield Event("mesh", message=warning, warning=True)
    if not colored:
        message = f"{Path(file).name} has no colours: it is painted with those of the views."
        yield Event("mesh", message=message, warning=True)
    yield Event("mesh", message="orienting the faces")
    mesh, _ = yield from align.fit(orient_faces(mesh), images, cameras, search_rotation=True)
    if not colored:
        mesh = paint(mesh, images, cameras)
        preview = align.preview(mesh, images, cameras)
        yield Event("mesh", 1, 1, "painted the mesh with the colours of the views", preview)
    return mesh


def orient_faces(mesh: Mesh) -> Mesh:
    """Wind each connected component of a mesh in the unit box so that it is seen from outside.

    A component is flipped where cameras on all sides see more of its back faces.
    """
    cameras = orbit_cameras(
        [0, 60, 120, 180, 240, 300, 0, 0], [30, -30, 30, -30, 30, -30, 89, -89], size=192
    )
    inscribed = replace(mesh, vertices=mesh.vertices / 3**0.5)  # the box inside the cameras' sphere
    corner, normals = inscribed.corners()[:, 0], inscribed.face_normals()
    front_pixels = np.zeros(len(mesh.faces))  # minus those of back faces
    visible = visible_faces(inscribed, cameras)
    for centre, faces in zip(cameras.centres(), visible, strict=True):
        pixels = np.bincount(faces[faces >= 0], minlength=len(mesh.faces))
        front_pixels += pixels * (normals * (centre - corner)).sum(-1).sign().numpy()
    component = _components(mesh)
    inward = np.bincount(component, weights=front_pixels)[component] < 0
    faces = torch.where(torch.from_numpy(inward)[:, None], mesh.faces.flip(1), mesh.faces)
    return replace(mesh, faces=faces)


def _components(mesh: Mesh) -> np.ndarray:
    """Connected component of each face, [F]; vertices at equal positions connect."""
    x, y, z = ((mesh.vertices.double() + 0.5) / MERGE).round().long().T
    _, vertex = torch.unique((x << 42) | (y << 21) | z, return_inverse=True)
    i, j, k = vertex[mesh.faces].T.numpy()
    ends = np.concatenate([i, j]), np.concatenate([j, k])
    count = int(vertex.max()) + 1
    edges = coo_matrix((np.ones(len(ends[0]), np.int8), ends), shape=(count, count))
    return connected_components(edges, directed=False)[1][i]


def paint(mesh: Mesh, images: np.ndarray, cameras: Cameras) -> Mesh:
    """Colour a mesh with the weighted mean of the views that see it.

    Vertices that no view sees take the colour of the nearest one that is seen.
    """
    visible = visible_faces(mesh, cameras)
    inside = (visible >= 0) & (images[..., 3] > 127)
    is_front = np.arange(len(images)) == 0
    weights = np.where(is_front, FRONT_WEIGHT, 1.0)[:, None, None] * inside
    vertices = mesh.faces.numpy()[visible[inside]]  # [N, 3] of the pixels inside both silhouettes
    values = np.concatenate([images[..., :3] / 255, np.ones_like(images[..., :1])], -1)
    sums = np.zeros((len(mesh.vertices), 4))
    for corner in range(3):
        np.add.at(sums, vertices[:, corner], (values * weights[..., None])[inside])
    known = sums[:, 3] > 0
    if not known.any():
        return mesh
    colors = sums[:, :3] / np.maximum(sums[:, 3:], 1e-8)
    positions = mesh.vertices.numpy()
    _, nearest = cKDTree(positions[known]).query(positions[~known])
    colors[~known] = colors[known][nearest]
    return replace(mesh, colors=torch.from_numpy(colors).float())
