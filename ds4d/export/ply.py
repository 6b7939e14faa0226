"""Gaussians of one moment as a .ply file, in the layout that splat editors read.

The layout of the reference implementation of 3D Gaussian Splatting (Kerbl et al. 2023): binary
little-endian float32 properties, opacities as logits, scales as logarithms, colours as the constant
term of a spherical-harmonics expansion.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..splatting.splats import Splats
from .context import ExportContext

PROPERTIES = (
    *("x", "y", "z"),
    *("nx", "ny", "nz"),  # always 0; readers expect them
    *("f_dc_0", "f_dc_1", "f_dc_2"),
    # Here a file of harmonics up to degree 3 has f_rest_0 to f_rest_44.
    "opacity",
    *("scale_0", "scale_1", "scale_2"),
    *("rot_0", "rot_1", "rot_2", "rot_3"),  # w, x, y, z
)
REST = tuple(f"f_rest_{number}" for number in range(45))  # coefficients of degrees 1 to 3
BEFORE_REST = PROPERTIES.index("opacity")
SH_CONSTANT = 0.28209479177387814  # the first spherical harmonic, 1 / (2 sqrt(pi))
OPACITY_MARGIN = 1e-6  # keeps the logits of 0 and 1 finite
SMALLEST_SCALE = 1e-9  # world units; keeps the logarithm of 0 finite

# Splat .ply files follow COLMAP: -y is up. Editors (SuperSplat and others built on PlayCanvas)
# rotate them by 180 degrees about z on loading, show +y up, and place their first camera on the
# +z side. Our world has z up and the front towards -y, so front (0, -1, 0) must become (0, 0, 1)
# and up (0, 0, 1) must become (0, -1, 0); then right (1, 0, 0) becomes (-1, 0, 0).
PLY_FROM_WORLD = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]])
PLY_FROM_WORLD_QUAT = torch.tensor([0.0, 0.0, 0.5**0.5, -(0.5**0.5)])  # the same, (w, x, y, z)


def write(context: ExportContext) -> Iterator[str]:
    """Write exports/ply/frame_0001.ply ..., one file per training frame."""
    with context.workspace.replacing("exports/ply") as folder:
        folder.mkdir()
        for number, splats in enumerate(context.frames(), 1):
            path = folder / f"frame_{number:04d}.ply"
            write_ply(path, to_ply_axes(splats), context.config.ply_sh)
            yield f"exports/ply/frame_{number:04d}.ply"


def to_ply_axes(splats: Splats) -> Splats:
    """Rotate from world axes (z up) to the axes of splat files (-y up)."""
    rotation = PLY_FROM_WORLD.to(splats.means)
    return Splats(
        splats.means @ rotation.T,
        multiply(PLY_FROM_WORLD_QUAT.to(splats.quats), splats.quats),
        splats.scales,
        splats.opacities,
        splats.colors,
    )


def multiply(
    a: Tensor,  # [..., 4] w, x, y, z
    b: Tensor,  # [..., 4]
) -> Tensor:
    """The quaternion of rotation b followed by rotation a, [..., 4]."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def write_ply(path: Path, splats: Splats, degree: int = 0) -> None:
    """Write the Gaussians unchanged; for editors, convert them with `to_ply_axes` first.

    The colours do not depend on the direction, so the harmonics of degree 3 that some importers
    insist on are zeros.
    """
    columns = torch.cat(
        [
            splats.means,
            torch.zeros_like(splats.means),
            (splats.colors - 0.5) / SH_CONSTANT,
            splats.means.new_zeros(len(splats), len(_rest(degree))),
            splats.opacities.clamp(OPACITY_MARGIN, 1 - OPACITY_MARGIN).logit()[:, None],
            splats.scales.clamp(min=SMALLEST_SCALE).log(),
            splats.quats,
        ],
        dim=1,
    )  # [N, 17 or 62]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(splats)}",
        *(f"property float {name}" for name in _properties(degree)),
        "end_header",
    ]
    with open(path, "wb") as file:
        file.write(("\n".join(header) + "\n").encode("ascii"))
        file.write(columns.detach().cpu().numpy().astype("<f4").tobytes())


def _properties(degree: int) -> tuple[str, ...]:
    """Names of the columns of a file with harmonics up to a degree, 0 or 3."""
    return (*PROPERTIES[:BEFORE_REST], *_rest(degree), *PROPERTIES[BEFORE_REST:])


def _rest(degree: int) -> tuple[str, ...]:
    return REST if degree == 3 else ()


def read_ply(path: Path) -> Splats:
    """Read a file that `write_ply` wrote: Gaussians on the CPU, in the axes of the file.

    Raises UserError if the file has another layout or is truncated.
    """
    header, found, body = Path(path).read_bytes().partition(b"end_header\n")
    lines = header.decode("ascii", "replace").splitlines()
    names = [line.split()[-1] for line in lines if line.startswith("property float ")]
    counts = [int(line.split()[-1]) for line in lines if line.startswith("element vertex ")]
    readable = (
        found
        and lines[:2] == ["ply", "format binary_little_endian 1.0"]
        and tuple(names) in (_properties(0), _properties(3))
        and counts == [len(body) // (4 * len(names))]
        and len(body) % (4 * len(names)) == 0
    )
    if not readable:
        raise UserError(
            f"{path} is not a splat file written by DS4D, or it is truncated.", "Export it again."
        )
    columns = np.frombuffer(body, "<f4").reshape(-1, len(names)).astype(np.float32)
    columns = columns[:, [names.index(name) for name in PROPERTIES]]
    means, _, dc, opacity, scales, quats = torch.from_numpy(columns).split([3, 3, 3, 1, 3, 4], 1)
    return Splats(
        means=means,
        quats=quats,
        scales=scales.exp(),
        opacities=opacity[:, 0].sigmoid(),
        colors=dc * SH_CONSTANT + 0.5,
    )
