"""The solid between the first and the last surface of a frame, and its images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from ...cameras import Cameras
from ...mesh.mesh import Mesh
from ...mesh.visibility import visible_faces

SAMPLES = 2  # along each side of a pixel


@dataclass(frozen=True)
class Solid:
    """N vertices in world coordinates and F coloured triangles, closed."""

    vertices: np.ndarray  # [N, 3] float32
    faces: np.ndarray  # [F, 3] int64, counterclockwise seen from outside
    colors: np.ndarray  # [F, 3] float32 in [0, 1]

    def mesh(self) -> Mesh:
        """The solid as a mesh whose vertices have the mean colours of their triangles."""
        corners = self.faces.ravel()
        count = np.maximum(np.bincount(corners, minlength=len(self.vertices)), 1)
        sums = [
            np.bincount(corners, self.colors[:, c].repeat(3), len(self.vertices)) for c in range(3)
        ]
        return Mesh(
            torch.from_numpy(self.vertices),
            torch.from_numpy(self.faces),
            torch.from_numpy((np.stack(sums, 1) / count[:, None]).astype(np.float32)),
        )


def build(
    inside: np.ndarray,  # [G, G] bool, the silhouette
    depths: np.ndarray,  # [2, G, G] of the first and the last surface along the optical axis, world
    colors: np.ndarray,  # [2, G, G, 3] of the two in [0, 1]
    camera: Cameras,  # the front camera at G x G
) -> Solid:
    """Build the solid: a square of each surface for every pixel, and walls along the silhouette."""
    rows, columns = np.nonzero(inside)
    steps = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])  # counterclockwise as the camera sees them
    corners = np.stack([rows, columns], 1)[:, None] + steps  # [M, 4, 2]
    used, quads = np.unique(corners @ [len(inside) + 1, 1], return_inverse=True)
    quads, count = quads.reshape(-1, 4), len(used)

    shares = np.bincount(quads.ravel(), minlength=count)
    at_corners = [
        np.bincount(quads.ravel(), depth[rows, columns].repeat(4), count) / shares
        for depth in depths
    ]
    left, lower, right, upper = _neighbours(inside)
    is_rim = ~np.stack([left, lower, right, upper], -1)[rows, columns]  # [M, 4] sides of pixels
    start, end = quads[is_rim], np.roll(quads, -1, 1)[is_rim]
    places = np.stack(np.divmod(used, len(inside) + 1)[::-1], 1).astype(float)  # column, row
    places = _smoothed(places, start, end)
    points = [_unprojected(places, depth, camera) for depth in at_corners]

    halves = quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)
    faces = [
        halves,
        halves[:, ::-1] + count,
        np.stack([end, start, start + count], 1),
        np.stack([end, start + count, end + count], 1),
    ]
    front, back = (own[rows, columns] for own in colors)
    rim = front[np.nonzero(is_rim)[0]]
    painted = [front.repeat(2, 0), back.repeat(2, 0), rim, rim]
    return Solid(
        np.concatenate(points).astype(np.float32),
        np.concatenate(faces),
        np.concatenate(painted).astype(np.float32),
    )


def render(solid: Solid, cameras: Cameras) -> np.ndarray:
    """Images [C, H, W, 4] uint8 of a solid, straight alpha."""
    if not len(solid.faces):
        return np.zeros((len(cameras), cameras.height, cameras.width, 4), np.uint8)
    fine = cameras.resized(SAMPLES * cameras.width, SAMPLES * cameras.height)
    mesh = Mesh(torch.from_numpy(solid.vertices), torch.from_numpy(solid.faces), torch.empty(0, 3))
    opaque = np.insert(solid.colors, 3, 1, axis=1)
    paint = np.concatenate([opaque, np.zeros((1, 4), np.float32)])  # -1: no face
    samples = paint[visible_faces(mesh, fine)]
    image = avg_pool2d(torch.from_numpy(samples).movedim(-1, 1), SAMPLES).movedim(1, -1)
    image[..., :3] /= image[..., 3:].clamp(min=1e-4)
    return (image.clamp(0, 1) * 255).round().byte().numpy()


def _neighbours(inside: np.ndarray) -> tuple[np.ndarray, ...]:
    """The masks [G, G] of each pixel's left, lower, right and upper neighbour being inside."""
    padded = np.pad(inside, 1)
    return padded[1:-1, :-2], padded[2:, 1:-1], padded[1:-1, 2:], padded[:-2, 1:-1]


def _smoothed(places: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Places [N, 2] with the staircase of the outline's edges, from start to end, evened out."""
    ends, others = np.concatenate([start, end]), np.concatenate([end, start])
    count = np.bincount(ends, minlength=len(places))
    rim = count > 0
    mean = np.stack([np.bincount(ends, places[others, k], len(places)) for k in (0, 1)], 1)
    places = places.copy()
    places[rim] = 0.5 * places[rim] + 0.5 * mean[rim] / count[rim, None]
    return places


def _unprojected(places: np.ndarray, depths: np.ndarray, camera: Cameras) -> np.ndarray:
    """World points [N, 3] at places [N, 2] (column, row) of the image and depths [N]."""
    rays = np.concatenate([places, np.ones((len(places), 1))], 1)
    rays = rays @ np.linalg.inv(camera.Ks[0].double().numpy()).T
    viewmat = camera.viewmats[0].double().numpy()
    return (rays * depths[:, None] - viewmat[:3, 3]) @ viewmat[:3, :3]
