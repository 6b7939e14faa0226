"""Closed mesh of an inflated silhouette: the surface of silhouette.py as triangles."""

from __future__ import annotations

import numpy as np

from ...cameras import Cameras
from ...mesh.mesh import Mesh
from .colors import back_side
from .silhouette import pixel_positions, unproject


def closed_mesh(
    inside: np.ndarray,  # [G, G] bool, the silhouette
    front: np.ndarray,  # [G, G, 3] colours of the frame
    regional: np.ndarray,  # [LEVELS, G * G, 3] colours of hidden parts
    half: np.ndarray,  # [G, G] half thickness, pixels
    middle: np.ndarray,  # [G, G] depth of the mid-surface along the optical axis, world units
    camera: Cameras,  # the front camera at G x G
) -> Mesh:
    """Triangulate front and back, one vertex each per pixel, joined along the rim.

    Parts thinner than two pixels are left out.
    """
    pixels = np.flatnonzero(inside)
    pixel_size = float(camera.centres().norm() / camera.Ks[0, 0, 0])  # at the target, world units
    positions, depth = pixel_positions(inside).reshape(-1, 2)[pixels], middle.ravel()[pixels]
    offset = half.ravel()[pixels] * pixel_size
    points = [unproject(positions, depth, sign * offset, camera).numpy() for sign in (-1, 1)]
    height = half.ravel()[pixels] / len(inside)
    colors = [front.reshape(-1, 3)[pixels], back_side(regional, pixels, height)]
    front_faces, back = _triangles(inside), len(pixels)
    edges = np.concatenate([front_faces[:, [0, 1]], front_faces[:, [1, 2]], front_faces[:, [2, 0]]])
    codes = edges[:, 0] * len(pixels) + edges[:, 1]
    is_rim = ~np.isin(codes, edges[:, 1] * len(pixels) + edges[:, 0])  # no opposite edge
    start, end = edges[is_rim].T
    faces = [
        front_faces,
        front_faces[:, ::-1] + back,
        np.stack([end, start, start + back], 1),
        np.stack([end, start + back, end + back], 1),
    ]
    return Mesh.from_arrays(np.concatenate(points), np.concatenate(faces), np.concatenate(colors))


def _triangles(inside: np.ndarray) -> np.ndarray:
    """Triangles between pixels of each 2 x 2 block with at least three inside.

    Returns:
        [F, 3] indices of inside pixels in reading order, counterclockwise as the camera sees them.
    """
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(inside.sum())
    corners = [number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]]
    blocks = np.stack(corners, -1).reshape(-1, 4)  # counterclockwise from the upper left
    complete = (blocks >= 0).all(1)
    triangular = blocks[(blocks >= 0).sum(1) == 3]
    halves = blocks[complete][:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)
    return np.concatenate([halves, triangular[triangular >= 0].reshape(-1, 3)])
