"""Gaussians of one moment as a .spz file, Niantic's compressed format (version 2)."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from ..splatting.splats import Splats
from .ply import OPACITY_MARGIN, SH_CONSTANT, SMALLEST_SCALE

MAGIC, VERSION = 0x5053474E, 2
FRACTION = 16  # bits of a coordinate after the point; 7 and the sign are before it
COLOR_SCALE = 0.15  # of the constant harmonic's coefficients, in the format's definition
ANTIALIASED = 1  # flag
AXES = np.array([1.0, -1.0, -1.0])  # from those of .ply files (Y down) to those of .spz (Y up)


def write_spz(path: Path, splats: Splats) -> None:
    """Write the Gaussians, which are in the axes of .ply files (`to_ply_axes`).

    Positions are exact to 1/65,536 world units, logarithms of scales to 1/16, opacities, colours
    and rotations to 8 bits.
    """
    means, quats, scales, opacities, colors = (
        values.detach().cpu().double().numpy()
        for values in (splats.means, splats.quats, splats.scales, splats.opacities, splats.colors)
    )
    fixed = np.round(means * AXES * 2**FRACTION).clip(-(2**23), 2**23 - 1).astype("<i4")
    quats = quats / np.linalg.norm(quats, axis=1, keepdims=True)
    turns = quats[:, 1:] * AXES * np.where(quats[:, :1] < 0, -1.0, 1.0)
    columns = [
        fixed.view(np.uint8).reshape(-1, 4)[:, :3],  # the low three bytes
        opacities.clip(OPACITY_MARGIN, 1 - OPACITY_MARGIN) * 255,
        ((colors - 0.5) / SH_CONSTANT * COLOR_SCALE + 0.5) * 255,
        (np.log(np.maximum(scales, SMALLEST_SCALE)) + 10) * 16,
        turns * 127.5 + 127.5,
    ]
    header = struct.pack(
        "<IIIBBBB", MAGIC, VERSION, len(splats), 0, FRACTION, ANTIALIASED * splats.antialiased, 0
    )
    body = b"".join(np.round(column).clip(0, 255).astype(np.uint8).tobytes() for column in columns)
    path.write_bytes(gzip.compress(header + body, mtime=0))
