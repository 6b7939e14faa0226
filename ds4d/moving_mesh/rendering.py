"""Images of a textured moving mesh, for measurements and previews; unlit."""

from __future__ import annotations

import io

import cv2
import numpy as np
import torch

from ..cameras import Cameras
from ..mesh.io import linear_to_srgb
from ..mesh.mesh import Mesh
from ..mesh.visibility import hits
from .model import MovingMesh, Part

SAMPLES = 3  # per pixel along each side


def render(moving: MovingMesh, frame: int, cameras: Cameras) -> np.ndarray:
    """Images [C, H, W, 4] uint8 of a frame, RGBA with straight alpha, antialiased."""
    fine = cameras.resized(SAMPLES * cameras.width, SAMPLES * cameras.height)
    faces = torch.from_numpy(moving.faces)
    places = torch.from_numpy(moving.vertices[frame].astype(np.float32))
    mesh = Mesh(places, faces, torch.zeros(0, 3))
    seen = hits(mesh, fine)
    visible, weights = seen.faces, seen.weights
    image = np.zeros((*visible.shape, 4), np.float32)
    first = 0
    for part in moving.parts:
        mine = (visible >= first) & (visible < first + len(part.faces))
        image[mine, :3] = _colors(part, part.faces[visible[mine] - first], weights[mine])
        image[mine, 3] = 1
        first += len(part.faces)
    size = (cameras.width, cameras.height)
    small = np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in image])
    small[..., :3] /= np.maximum(small[..., 3:], 1e-6)
    return np.round(small.clip(0, 1) * 255).astype(np.uint8)


def _colors(part: Part, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """sRGB colours [K, 3] of points on a part; corners [K, 3] with their weights [K, 3]."""
    from PIL import Image

    factor = np.asarray(part.material.color[:3])
    if part.colors is not None:
        factor = factor * (weights[..., None] * part.colors[corners][..., :3]).sum(1)
    if part.material.image is None or part.uv is None:
        return np.broadcast_to(linear_to_srgb(factor), weights.shape)
    texture = np.asarray(Image.open(io.BytesIO(part.material.image)).convert("RGB"), np.float32)
    height, width = texture.shape[:2]
    uv = (weights[..., None] * part.uv[corners]).sum(1)
    x = (uv[:, 0] * width - 0.5).astype(np.float32)
    y = (uv[:, 1] * height - 0.5).astype(np.float32)
    rows = -(-len(x) // 16384)  # OpenCV's maps are at most 32767 long
    padded = [np.pad(axis, (0, rows * 16384 - len(axis))).reshape(rows, 16384) for axis in (x, y)]
    mode = {"interpolation": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_WRAP}
    texels = cv2.remap(texture, *padded, **mode).reshape(-1, 3)[: len(x)] / 255
    if np.all(factor == 1):
        return texels
    from ..mesh.io import srgb_to_linear

    return linear_to_srgb(srgb_to_linear(texels) * factor)
