"""Gaussians of one moment as a .splat file, the small format that web viewers read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..splatting.splats import Splats
from .context import Scene
from .ply import to_ply_axes

NAME = "exports/moment.splat"
ROW = np.dtype(
    [("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)]
)  # 32 bytes


def write(scene: Scene) -> Iterator[str]:
    """Write exports/moment.splat: the Gaussians at the scene's moment."""
    with scene.workspace.replacing(NAME) as path:
        write_splat(path, to_ply_axes(scene.asset.splats(scene.moment)))
    yield NAME


def write_splat(path: Path, splats: Splats) -> None:
    """Write the Gaussians as they stand, in the layout of antimatter15/splat.

    32 bytes each: mean and linear scales as float32, colour and opacity as bytes, the rotation
    (w, x, y, z) as bytes in which 128 is 0. Those that cover most come first, so that a viewer
    shows something whole while the rest is still loading. Turn them with `to_ply_axes` first:
    viewers take the axes for those of splat .ply files.
    """
    covering = splats.scales.log().sum(1).exp() * splats.opacities
    order = covering.argsort(descending=True, stable=True)
    rows = np.empty(len(splats), ROW)
    rows["mean"] = splats.means[order].cpu().numpy()
    rows["scale"] = splats.scales[order].cpu().numpy()
    rgba = np.concatenate(
        [splats.colors[order].cpu().numpy(), splats.opacities[order, None].cpu().numpy()], 1
    )
    rows["rgba"] = np.round(rgba.clip(0, 1) * 255)
    rows["quat"] = np.round(splats.quats[order].cpu().numpy() * 128 + 128).clip(0, 255)
    path.write_bytes(rows.tobytes())
