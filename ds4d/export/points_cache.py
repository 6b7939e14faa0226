"""The Gaussians of every frame as plain arrays, and a script that brings them into Blender."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .context import Scene

NAME = "exports/points_cache.npz"
SCRIPT = "exports/import_ds4d.py"
SOURCE = Path(__file__).with_name("blender_import.py")  # never imported here: it needs Blender


def write(scene: Scene) -> Iterator[str]:
    """Write exports/points_cache.npz and exports/import_ds4d.py.

    The arrays, in our world (Z up, the front towards -Y, lengths in units of about the object's
    size): means [T, N, 3], quats [T, N, 4] (w, x, y, z), scales [T, N, 3] (standard deviations),
    opacities [N], colors [N, 3] in [0, 1] (sRGB), times [T] in seconds, all float32. A Gaussian
    keeps its number, its colour and its opacity over time.
    """
    frames = list(scene.frames())
    arrays = {
        name: np.stack([getattr(splats, name).cpu().numpy() for splats in frames])
        for name in ("means", "quats", "scales")
    }
    arrays |= {name: getattr(frames[0], name).cpu().numpy() for name in ("opacities", "colors")}
    arrays["times"] = np.array(scene.times)
    with scene.workspace.replacing(NAME) as path:
        np.savez_compressed(path, **{k: v.astype(np.float32) for k, v in arrays.items()})
    yield NAME
    with scene.workspace.replacing(SCRIPT) as path:
        shutil.copyfile(SOURCE, path)
    yield SCRIPT
