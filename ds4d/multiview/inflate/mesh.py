"""An inflated object as a mesh: the same front and back as the shell's, closed at the rim."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...cameras import Cameras
from .colors import back_side
from .silhouette import pixel_positions, unproject


@dataclass(frozen=True)
class Surface:
    """A closed mesh with M coloured vertices and F triangles, in our world."""

    vertices: np.ndarray  # [M, 3] float32
    faces: np.ndarray  # [F, 3] int64, anticlockwise seen from outside
    colors: np.ndarray  # [M, 3] float32 in [0, 1]

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> Surface:
        with np.load(path) as file:
            return cls(**file)


def closed(
    inside: np.ndarray,  # [G, G] bool, the silhouette
    front: np.ndarray,  # [G, G, 3] the frame's colours
    regional: np.ndarray,  # [LEVELS, G * G, 3] colours for what it hides
    half: np.ndarray,  # [G, G] half thickness, pixels
    middle: np.ndarray,  # [G, G] depth of the middle surface along the optical axis, world units
    camera: Cameras,  # the front camera at G x G
) -> Surface:
    """A vertex before and one behind each pixel; what is thinner than two pixels is left out."""
    at = np.flatnonzero(inside)
    pixel = float(camera.centres().norm() / camera.Ks[0, 0, 0])  # at the target, world units
    places, depth = pixel_positions(inside).reshape(-1, 2)[at], middle.ravel()[at]
    offset = half.ravel()[at] * pixel
    points = [unproject(places, depth, away, camera).numpy() for away in (-offset, offset)]
    colors = [front.reshape(-1, 3)[at], back_side(regional, at, half.ravel()[at] / len(inside))]
    before = _triangles(inside)
    edges = np.concatenate([before[:, [0, 1]], before[:, [1, 2]], before[:, [2, 0]]])
    codes, behind = edges[:, 0] * len(at) + edges[:, 1], len(at)
    start, end = edges[~np.isin(codes, edges[:, 1] * len(at) + edges[:, 0])].T  # the rim's
    faces = [
        before,
        before[:, ::-1] + behind,
        np.stack([end, start, start + behind], 1),
        np.stack([end, start + behind, end + behind], 1),
    ]
    return used(Surface(np.concatenate(points), np.concatenate(faces), np.concatenate(colors)))


def joined(surfaces: list[Surface]) -> Surface:
    """Several as one."""
    starts = np.cumsum([0, *(len(one.vertices) for one in surfaces)])
    return Surface(
        np.concatenate([one.vertices for one in surfaces]),
        np.concatenate([one.faces + k for one, k in zip(surfaces, starts, strict=False)]),
        np.concatenate([one.colors for one in surfaces]),
    )


def used(surface: Surface) -> Surface:
    """Without the vertices that are in no face."""
    kept, faces = np.unique(surface.faces, return_inverse=True)
    return Surface(
        surface.vertices[kept].astype(np.float32),
        faces.reshape(-1, 3),
        surface.colors[kept].astype(np.float32),
    )


def _triangles(inside: np.ndarray) -> np.ndarray:
    """Between pixels whose 2 x 2 neighbourhood holds three or four, [F, 3] numbers of pixels in
    reading order, anticlockwise as the camera sees them."""
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(inside.sum())
    corners = [number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]]
    around = np.stack(corners, -1).reshape(-1, 4)  # anticlockwise from the upper left
    whole = (around >= 0).all(1)
    three = (around >= 0).sum(1) == 3
    halves = around[whole][:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)
    partial = around[three]
    return np.concatenate([halves, partial[partial >= 0].reshape(-1, 3)])
