"""Mesh engine of embedded views: the mesh that they were rendered from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..cameras import Cameras
from ..run.events import Event, Stage
from . import align
from .io import load_npz
from .mesh import Mesh
from .visibility import no_object


def run(
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view
    cameras: Cameras,  # V
    resolution: int,  # unused: the mesh has the resolution of the silhouette
    *,
    file: Path,  # written by the multiview stage
) -> Stage[Mesh]:
    """Load the mesh of the middle frame.

    Raises:
        UserError: the middle frame shows no object.
    """
    mesh = load_npz(file)
    if not len(mesh.faces):
        raise no_object()
    yield Event(
        "mesh", 1, 1, f"{len(mesh.vertices)} vertices of the inflated object",
        preview=align.preview(mesh, images, cameras), metrics={"vertices": len(mesh.vertices)},
    )  # fmt: skip
    return mesh
