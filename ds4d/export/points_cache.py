"""Points cache: Gaussians of every frame as plain arrays, and a Blender import script."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from . import root_motion
from .context import ExportContext

NAME = "exports/points_cache.npz"
SCRIPT = "exports/import_ds4d.py"
SOURCE = Path(__file__).with_name("blender_import.py")  # never imported here: it needs Blender


def write(context: ExportContext) -> Iterator[str]:
    """Write exports/points_cache.npz and exports/import_ds4d.py.

    The arrays, in world coordinates (Z up, front towards -Y, lengths in units of roughly the
    object's size): means [T, N, 3], quats [T, N, 4] (w, x, y, z), scales [T, N, 3] (standard
    deviations), opacities [N], frame_colors [T, N, 3] in [0, 1] (sRGB), their means over time
    colors [N, 3], and times [T] in seconds, all float32. Index and opacity of a Gaussian are
    constant over time. The script paints with the means. Of an object that crossed the clip's
    frame also root_motion [T, 3], the translations that the script gives to the whole object.
    """
    frames = list(context.frames())
    arrays = {
        name: np.stack([getattr(splats, name).cpu().numpy() for splats in frames])
        for name in ("means", "quats", "scales", "colors")
    }
    arrays["frame_colors"] = arrays.pop("colors")
    arrays["colors"] = arrays["frame_colors"].mean(0)
    arrays["opacities"] = frames[0].opacities.cpu().numpy()
    arrays["times"] = np.array(context.times)
    motion = root_motion.translations(context)
    if motion is not None:
        arrays["root_motion"] = motion
    with context.workspace.replacing(NAME) as path:
        np.savez_compressed(path, **{k: v.astype(np.float32) for k, v in arrays.items()})
    yield NAME
    with context.workspace.replacing(SCRIPT) as path:
        shutil.copyfile(SOURCE, path)
    yield SCRIPT
