"""Gaussians of one moment as binary glTF with the extension KHR_gaussian_splatting.

Readers without the extension show coloured points.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..mesh.io import TO_GLTF, srgb_to_linear
from ..splatting.splats import Splats
from .gltf import FLOAT, SHORT, VERTICES, Buffer
from .ply import SH_CONSTANT, multiply

EXTENSION = "KHR_gaussian_splatting"
TO_GLTF_QUAT = (0.5**0.5, -(0.5**0.5), 0.0, 0.0)  # the rotation TO_GLTF, (w, x, y, z)


def write_splat_glb(path: Path, splats: Splats) -> None:
    """Write the Gaussians, which are in world axes; the file has those of glTF."""
    means, scales, opacities, colors = (
        values.detach().cpu().double().numpy()
        for values in (splats.means, splats.scales, splats.opacities, splats.colors)
    )
    quats = splats.quats.detach().cpu().double()
    quats = multiply(quats.new_tensor(TO_GLTF_QUAT), quats).numpy()[:, [1, 2, 3, 0]]
    quats = quats / np.linalg.norm(quats, axis=1, keepdims=True)
    fallback = np.concatenate([srgb_to_linear(colors.clip(0, 1)), opacities[:, None]], 1)
    buffer = Buffer()
    attributes = {
        "POSITION": buffer.add(means @ TO_GLTF.T, FLOAT, VERTICES, limits=True),
        "COLOR_0": buffer.add(np.round(fallback * 65535), SHORT, VERTICES, normalized=True),
        f"{EXTENSION}:ROTATION": buffer.add(quats, FLOAT, VERTICES),
        f"{EXTENSION}:SCALE": buffer.add(scales, FLOAT, VERTICES),
        f"{EXTENSION}:OPACITY": buffer.add(opacities, FLOAT, VERTICES),
        f"{EXTENSION}:SH_DEGREE_0_COEF_0": buffer.add(
            (colors - 0.5) / SH_CONSTANT, FLOAT, VERTICES
        ),
    }
    look = {
        "kernel": "ellipse",
        "colorSpace": "srgb_rec709_display",
        "sortingMethod": "cameraDistance",
        "projection": "perspective",
    }
    primitive = {"attributes": attributes, "mode": 0, "extensions": {EXTENSION: look}}
    tree = {
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "moment", "mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "extensionsUsed": [EXTENSION],
    }
    buffer.save(path, tree)
