"""Gaussians of one moment: a .splat file, a compact format for web viewers, .spz and .glb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..splatting.splats import Splats
from .context import ExportContext
from .ply import to_ply_axes
from .splat_glb import write_splat_glb
from .spz import write_spz

NAME, SPZ, GLB = "exports/moment.splat", "exports/moment.spz", "exports/moment.glb"
ROW = np.dtype(
    [("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)]
)  # 32 bytes


def write(context: ExportContext) -> Iterator[str]:
    """Write exports/moment.splat, .spz and .glb: the Gaussians at the chosen moment."""
    splats = context.asset.splats(context.moment)
    with context.workspace.replacing(NAME) as path:
        write_splat(path, to_ply_axes(splats))
    yield NAME
    with context.workspace.replacing(SPZ) as path:
        write_spz(path, to_ply_axes(splats))
    yield SPZ
    with context.workspace.replacing(GLB) as path:
        write_splat_glb(path, splats)
    yield GLB


def write_splat(path: Path, splats: Splats) -> None:
    """Write the Gaussians unchanged, in the layout of antimatter15/splat.

    32 bytes each: mean and linear scales as float32, colour and opacity as bytes, the rotation
    (w, x, y, z) as bytes in which 128 is 0. The most visible come first, so that a viewer shows
    the whole object while the rest is loading. Convert with `to_ply_axes` first: viewers assume
    the axes of splat .ply files.
    """
    visibility = splats.scales.log().sum(1).exp() * splats.opacities
    order = visibility.argsort(descending=True, stable=True)
    rows = np.empty(len(splats), ROW)
    rows["mean"] = splats.means[order].cpu().numpy()
    rows["scale"] = splats.scales[order].cpu().numpy()
    rgba = np.concatenate(
        [splats.colors[order].cpu().numpy(), splats.opacities[order, None].cpu().numpy()], 1
    )
    rows["rgba"] = np.round(rgba.clip(0, 1) * 255)
    rows["quat"] = np.round(splats.quats[order].cpu().numpy() * 128 + 128).clip(0, 255)
    path.write_bytes(rows.tobytes())
