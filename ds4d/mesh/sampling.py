"""A mesh -> a cloud of points on it, and the file that holds such a cloud."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError

if TYPE_CHECKING:
    from . import Mesh

PLY_POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
)
PLY_TYPES = {"<f4": "float", "|u1": "uchar"}


def sample_points(
    mesh: Mesh, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Points [count, 3] spread evenly over the surface, their colours in [0, 1] and unit normals.

    Uniform by area: a triangle is drawn in proportion to its area, then a place on it (Osada et
    al. 2002, "Shape distributions", eq. 1).
    """
    corners = mesh.vertices[mesh.faces]  # [F, 3, 3]
    cross = torch.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], dim=-1)
    area = torch.linalg.norm(cross, dim=-1) / 2
    # Not torch.multinomial: it takes 2^24 weights at most, and its draws depend on the device.
    cumulative = area.double().cumsum(0)
    draw = torch.rand(count, generator=generator, dtype=torch.float64) * cumulative[-1]
    face = torch.searchsorted(cumulative, draw, right=True).clamp(max=len(area) - 1)

    root, along = torch.rand(2, count, generator=generator)
    root = root.sqrt()
    weights = torch.stack([1 - root, root * (1 - along), root * along], -1)[..., None]
    points = (weights * corners[face]).sum(1)
    colors = (weights * mesh.colors[mesh.faces[face]]).sum(1)
    return points, colors, torch.nn.functional.normalize(cross[face], dim=-1)


def save_points_ply(
    path: Path,
    points: Tensor,  # [N, 3] world
    colors: Tensor,  # [N, 3] in [0, 1]
) -> None:
    """Write a binary little-endian PLY with float positions and uchar colours."""
    table = np.empty(len(points), PLY_POINT)
    levels = (colors.clamp(0, 1) * 255).round().to(torch.uint8)
    for values, names in ((points, "xyz"), (levels, ("red", "green", "blue"))):
        for name, column in zip(names, values.cpu().numpy().T, strict=True):
            table[name] = column
    Path(path).write_bytes(_header(len(table)) + table.tobytes())


def load_points_ply(path: Path) -> tuple[Tensor, Tensor]:
    """Points [N, 3] and colours [N, 3] in [0, 1] of a file that `save_points_ply` wrote.

    Raises UserError for any other file.
    """
    data = Path(path).read_bytes()
    body = data.find(b"end_header\n") + len(b"end_header\n")
    count, rest = divmod(len(data) - body, PLY_POINT.itemsize)
    if rest or data[:body] != _header(count):
        raise UserError(
            f"{Path(path).name} is not a point cloud that this program wrote, or it is cut short.",
            "Delete it: the next run makes it again.",
        )
    table = np.frombuffer(data, PLY_POINT, offset=body)
    points = np.stack([table[name] for name in "xyz"], -1)
    colors = np.stack([table[name] for name in ("red", "green", "blue")], -1)
    return torch.from_numpy(points), torch.from_numpy(colors).float() / 255


def _header(count: int) -> bytes:
    properties = [f"property {PLY_TYPES[kind]} {name}" for name, kind in PLY_POINT.descr]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {count}", *properties]
    return "\n".join([*lines, "end_header\n"]).encode()
