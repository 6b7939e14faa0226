"""Coloured boxes without any symmetry: their mesh, and their views by ray casting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import trimesh
from torch import Tensor

from ds4d.cameras import Cameras
from ds4d.mesh.mesh import Mesh

# low corner, high corner, colour: a body, a head at its right end, a tail to the back at its left.
THING = (
    ((-0.30, -0.10, -0.15), (0.30, 0.10, 0.05), (0.9, 0.2, 0.1)),
    ((0.14, -0.08, 0.05), (0.30, 0.06, 0.30), (0.1, 0.3, 0.9)),
    ((-0.30, 0.10, -0.05), (-0.22, 0.34, 0.03), (0.1, 0.8, 0.2)),
)
# Our world (Z up, front to -Y) in the axes of glTF (Y up, front to +Z), by hand.
TO_GLTF = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def mesh(boxes=THING) -> Mesh:
    """Eight corners and twelve outward faces for each box."""
    vertices, faces, colors = [], [], []
    for low, high, color in boxes:
        start = len(vertices)
        vertices += [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1])
                     for z in (low[2], high[2])]  # fmt: skip
        for a, b, c, d in QUADS:
            faces += [[start + a, start + b, start + c], [start + a, start + c, start + d]]
        colors += [color] * 8
    return Mesh(torch.tensor(vertices), torch.tensor(faces), torch.tensor(colors))


def views(cameras: Cameras, boxes=THING, face_color=None) -> np.ndarray:
    """RGBA pictures [V, S, S, 4] uint8 of the boxes, from one ray through each pixel's centre.

    `face_color(places)` gives the colours [N, 3] of places [N, 3] instead of the boxes' own.
    """
    axis = torch.arange(cameras.width) + 0.5
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], -1)
    images = []
    for K, viewmat, centre in zip(cameras.Ks, cameras.viewmats, cameras.centres(), strict=True):
        directions = rays @ torch.linalg.inv(K).T @ viewmat[:3, :3]
        image, nearest = torch.zeros(*u.shape, 4), torch.full(u.shape, torch.inf)
        for low, high, color in boxes:
            depth = _entry(torch.tensor(low), torch.tensor(high), centre, directions)
            hit = depth < nearest
            places = centre + depth[hit][:, None] * directions[hit]
            rgb = torch.tensor(color) if face_color is None else face_color(places)
            image[hit] = torch.cat([rgb.expand(len(places), 3), torch.ones(len(places), 1)], -1)
            nearest = torch.minimum(nearest, depth)
        images.append((image * 255).round().byte().numpy())
    return np.stack(images)


def _entry(low: Tensor, high: Tensor, centre: Tensor, directions: Tensor) -> Tensor:
    """The depth where rays enter a box, infinity where they miss it."""
    first, last = (low - centre) / directions, (high - centre) / directions
    enter = torch.minimum(first, last).amax(-1)
    leave = torch.maximum(first, last).amin(-1)
    return torch.where(enter < leave, enter, torch.inf)


def color_at(mesh: Mesh, position) -> Tensor:
    """Colour [3] of the vertex nearest to a position."""
    return mesh.colors[(mesh.vertices - torch.tensor(position)).norm(dim=-1).argmin()]


def normalized(mesh: Mesh) -> Mesh:
    """The mesh centred at the origin with longest side 1, as `load` returns it."""
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    return replace(mesh, vertices=(mesh.vertices - (low + high) / 2) / (high - low).max())


def volume(mesh: Mesh) -> float:
    """Enclosed volume; positive where the faces are seen from outside."""
    return float(torch.linalg.det(mesh.corners()).sum() / 6)


def trimesh_scene(rotation=TO_GLTF, scale=1.0, shift=(0.0, 0.0, 0.0)) -> trimesh.Scene:
    """The boxes with sRGB vertex colours, rotated, scaled and shifted."""
    scene = trimesh.Scene()
    for box in THING:
        part = mesh((box,))
        vertices = scale * part.vertices.numpy() @ np.asarray(rotation).T + np.array(shift)
        colors = (part.colors.numpy() * 255).round().astype(np.uint8)
        scene.add_geometry(
            trimesh.Trimesh(vertices, part.faces.numpy(), vertex_colors=colors, process=False)
        )
    return scene
