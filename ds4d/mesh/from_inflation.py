"""The mesh of an inflated object: the very surface that its views were drawn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..cameras import Cameras
from ..errors import UserError
from ..multiview.inflate.mesh import Surface
from ..run.events import Event, Stage
from . import Mesh, align


def run(
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view
    cameras: Cameras,  # V
    resolution: int,  # not used: the surface is as fine as the silhouette
    *,
    file: Path,
) -> Stage[Mesh]:
    """Read the surface of the middle frame.

    Raises UserError where that frame shows no object.
    """
    surface = Surface.load(file)
    if not len(surface.faces):
        raise UserError(
            "No object is visible in the middle frame.",
            "Check the mattes, or choose a clip whose object stays in the picture.",
        )
    mesh = Mesh(*(torch.from_numpy(part) for part in vars(surface).values()))
    yield Event(
        "mesh", 1, 1, f"{len(mesh.vertices)} vertices of the object that the views show",
        preview=align.preview(mesh, images, cameras), metrics={"vertices": len(mesh.vertices)},
    )  # fmt: skip
    return mesh
