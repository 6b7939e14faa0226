"""Held-out animated objects of the shape prior's (training/shape_prior), drawn as cut-out clips."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ds4d.cameras import orbit_cameras
from ds4d.mesh.mesh import Mesh
from ds4d.mesh.visibility import visible_faces
from training.shape_prior.assets import CLIP_POSES, Asset, read_folder, split

FINER = 3  # subpixels along a pixel
FILL = 0.7  # share of the frame that the clip's larger extent takes, without perspective
LIGHT = np.array([-0.4, -0.6, 0.7]) / np.linalg.norm([-0.4, -0.6, 0.7])
AMBIENT = 0.55  # share of the light that comes from everywhere


def animated(folder: Path) -> list[Asset]:
    """The held-out objects of a folder that move, in order of their names."""
    _, held_out = split(read_folder(folder))
    return sorted((asset for asset in held_out if asset.clips), key=lambda asset: asset.key)


def draw(asset: Asset, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One of the object's clips from a random side: colours [T, S, S, 3] float32 in 0..255 and
    opacities [T, S, S] float32 in 0..1.

    The seed decides the clip and the camera's azimuth and elevation.
    """
    rng = np.random.default_rng(seed)
    clip, azimuth, elevation = rng.integers(asset.clips), rng.uniform(0, 360), rng.uniform(0, 15)
    poses = asset.poses[clip * CLIP_POSES :][:CLIP_POSES]
    camera = orbit_cameras([azimuth], elevation, size=size * FINER)
    axes = camera.viewmats[0, :2, :3].numpy()  # right and down
    low, high = (poses @ axes.T).min((0, 1)), (poses @ axes.T).max((0, 1))
    poses = (poses - (low + high) / 2 @ axes) * (FILL / (high - low).max())
    colors = _face_colors(asset)
    layers = []
    for pose in poses:
        mesh = Mesh.from_arrays(pose, asset.faces, np.zeros_like(pose))
        faces = visible_faces(mesh, camera)[0]
        normals = mesh.face_normals().numpy()
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
        light = AMBIENT + (1 - AMBIENT) * (normals @ LIGHT).clip(0)
        shaded = (colors * light[:, None])[faces]
        opaque = (faces >= 0)[..., None].astype(np.float32)
        layer = np.dstack([shaded * opaque, opaque]).astype(np.float32)
        layers.append(cv2.resize(layer, (size, size), interpolation=cv2.INTER_AREA))
    layers = np.stack(layers)
    return layers[..., :3] / np.maximum(layers[..., 3:], 1e-3), layers[..., 3]


def _face_colors(asset: Asset) -> np.ndarray:
    """Colours [F, 3] in 0..255 of the triangles, the texture's at their middle."""
    if asset.atlas is None:
        return asset.face_colors.astype(np.float32)
    side = len(asset.atlas) // asset.cells
    column, row = (np.mod(asset.uvs[asset.faces].mean(1), 1) * side).astype(int).clip(0, side - 1).T
    textured = asset.face_cells < asset.cells**2
    cell = np.where(textured, asset.face_cells, 0).astype(int)
    texels = asset.atlas[cell // asset.cells * side + row, cell % asset.cells * side + column]
    return asset.face_colors * (np.where(textured[:, None], texels, 255) / np.float32(255))
