"""The mesh that moves: object.glb, object_morph.glb and object.usdz."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np

from ..moving_mesh.given import read_given
from ..moving_mesh.make import make
from ..moving_mesh.model import MovingMesh
from ..moving_mesh.posing import pose
from ..moving_mesh.skinning import Skin, decompose
from . import root_motion, usdz
from .animated_glb import write_morphing, write_skinned
from .context import ExportContext

SKINNED, MORPHING = "exports/object.glb", "exports/object_morph.glb"
PHONES = "exports/object.usdz"
GIVEN = "mesh_given.glb"  # the user's mesh, where the mesh stage placed it
FORMER = "exports/animated.glb"  # what earlier versions wrote instead


def write(context: ExportContext) -> Iterator[str]:
    """Write one mesh in three files. Viewers without animation show the frame it was made in."""
    moving = yield from worked(make(context.asset, context.config, _given(context)))
    motion = root_motion.translations(context)
    with context.workspace.replacing(MORPHING) as path:
        write_morphing(path, moving, context.times, motion)
    yield MORPHING
    if moving.rig is None:
        skin = decompose(moving.surface(moving.rest), moving.vertices, context.config.bones)
    else:
        skin = pose(moving)
    with context.workspace.replacing(SKINNED) as path:
        write_skinned(path, moving, skin, context.times, motion)
    yield SKINNED
    with context.workspace.replacing(PHONES) as path:
        usdz.write_usdz(path, moving, skin, context.times, motion)
    yield PHONES
    context.workspace.remove(FORMER)


def _given(context: ExportContext) -> MovingMesh | None:
    """The user's mesh, where the mesh stage placed it; None if the run has none."""
    file = context.workspace / GIVEN
    return read_given(file) if file.exists() else None


def write_still(path: Path, mesh: MovingMesh) -> None:
    """Write a mesh of one frame, with its skeleton if it has one."""
    if mesh.rig is None:
        write_morphing(path, mesh, [0.0])
    else:
        still = np.tile(np.eye(4), (1, len(mesh.rig.names), 1, 1))
        write_skinned(path, mesh, Skin(mesh.rig, mesh.vertices[0], still), [0.0])


def worked(making: Generator[None, None, MovingMesh]) -> Generator[str, None, MovingMesh]:
    """The moving mesh; yields the name of the file while it is in progress."""
    while True:
        try:
            next(making)
        except StopIteration as end:
            return end.value
        yield SKINNED
