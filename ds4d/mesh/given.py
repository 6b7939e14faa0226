"""The mesh that a person brings: from another generator, a scanner or a modelling program."""

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
from . import Mesh, align
from .read import load
from .visibility import faces_seen


def run(
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view
    cameras: Cameras,  # V
    resolution: int,  # not used: the mesh is as fine as it is
    *,
    file: Path,
) -> Stage[Mesh]:
    """Read a mesh file, turn, scale and shift it to where the views show the object.

    Warns about missing textures and a poor fit. A mesh without colours gets those of the views.
    Raises UserError for a file that cannot be used, or where the front view shows no object.
    """
    yield Event("mesh", message=f"reading {Path(file).name}")
    mesh, colored, warnings = load(file)
    for warning in warnings:
        yield Event("mesh", message=warning, warning=True)
    if not colored:
        message = f"{Path(file).name} has no colours: it gets those of the views."
        yield Event("mesh", message=message, warning=True)
    yield Event("mesh", message="turning the faces outward")
    mesh = outward(mesh)
    mesh, _ = yield from align.fit(mesh, images, cameras, search_rotation=True)
    if not colored:
        mesh = paint(mesh, images, cameras)
        preview = align.preview(mesh, images, cameras)
        yield Event("mesh", 1, 1, "painted the mesh with the colours of the views", preview)
    return mesh


def outward(mesh: Mesh) -> Mesh:
    """The mesh in the unit box, each connected piece wound so that it is seen from outside."""
    cameras = orbit_cameras(
        [0, 60, 120, 180, 240, 300, 0, 0], [30, -30, 30, -30, 30, -30, 89, -89], size=192
    )
    vertices = mesh.vertices / 3**0.5  # the box in the cameras' sphere
    seen = faces_seen(vertices, mesh.faces, cameras)
    corners = vertices[mesh.faces]
    normals = torch.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], dim=-1)
    votes = np.zeros(len(mesh.faces))
    for centre, picture in zip(cameras.centres(), seen, strict=True):
        counts = np.bincount(picture[picture >= 0], minlength=len(votes))
        towards = (normals * (centre - corners[:, 0])).sum(-1).sign().numpy()
        votes += counts * towards
    piece = _pieces(mesh)
    inward = np.bincount(piece, weights=votes)[piece] < 0
    faces = torch.where(torch.from_numpy(inward)[:, None], mesh.faces.flip(1), mesh.faces)
    return replace(mesh, faces=faces)


def _pieces(mesh: Mesh) -> np.ndarray:
    """The number of the connected piece that each face belongs to, [F]; equal places connect."""
    x, y, z = ((mesh.vertices.double() + 0.5) * 1e6).round().long().T
    _, place = torch.unique((x << 42) | (y << 21) | z, return_inverse=True)
    i, j, k = place[mesh.faces].T.numpy()
    ends = np.concatenate([i, j]), np.concatenate([j, k])
    size = int(place.max()) + 1
    links = coo_matrix((np.ones(len(ends[0]), np.int8), ends), shape=(size, size))
    return connected_components(links, directed=False)[1][i]


def paint(mesh: Mesh, images: np.ndarray, cameras: Cameras) -> Mesh:
    """The mesh with the mean colours of the views that see it, the front view first; what no view
    sees continues its surroundings."""
    seen = faces_seen(mesh.vertices, mesh.faces, cameras)
    shown = (seen >= 0) & (images[..., 3] > 127)
    weights = np.where(np.arange(len(images)) == 0, 8.0, 1.0)[:, None, None] * shown
    faces = mesh.faces.numpy()
    sums = np.zeros((len(mesh.vertices), 4))
    values = np.concatenate([images[..., :3] / 255, np.ones_like(images[..., :1])], -1)
    for corner in range(3):
        np.add.at(sums, faces[seen[shown], corner], (values * weights[..., None])[shown])
    known = sums[:, 3] > 0
    if not known.any():
        return mesh
    colors = sums[:, :3] / np.maximum(sums[:, 3:], 1e-8)
    places = mesh.vertices.numpy()
    _, nearest = cKDTree(places[known]).query(places[~known])
    colors[~known] = colors[known][nearest]
    return replace(mesh, colors=torch.from_numpy(colors).float())
