"""The moving mesh of an asset: topology, motion and texture."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np

from ..cameras import Cameras
from ..config import ExportConfig
from ..errors import UserError
from ..fourd.asset import Asset
from ..render.turntable import cut_out
from ..run.parallel import each
from ..splatting.splats import Splats
from .evidence import Evidence
from .model import Material, MovingMesh, Part
from .registration import register
from .surface import TARGET_TRIANGLES, simplified, surface_of, widest
from .texture import bake, jpeg, unwrap
from .tracking import track

# Triangles for a Gaussian at most: more would show nothing but the grid of the surface. Objects of
# few Gaussians have the least that the setting allows.
PER_GAUSSIAN, FEWEST = 4, 2000
FRONT_TRUST = 4.0  # of the front view, the only real one, against 1 of the others


class NoSurface(UserError):
    """An object too faint for a mesh."""


def make(
    asset: Asset,
    config: ExportConfig,
    given: MovingMesh | None = None,
) -> Generator[None, None, MovingMesh]:
    """Return the moving mesh; yields after each finished piece of work.

    Args:
        asset: the 4D asset, of an object.
        config: triangles and texture size.
        given: the user's mesh in world coordinates, posed as in the middle frame; it keeps its
            vertices, uv and materials.

    Raises:
        NoSurface: the Gaussians are too faint in all frames.
    """
    frames = [asset.splats(position) for position in asset.positions.tolist()]
    surfaces = []
    for surface in each(surface_of, frames):
        surfaces.append(surface)
        yield
    if not any(surfaces):
        raise NoSurface(
            "The object has no surface that a mesh could be made of.",
            "Look at the videos: so faint an object needs better mattes or a longer optimization.",
        )
    goals = [surface and simplified(surface, TARGET_TRIANGLES) for surface in surfaces]
    rest = widest(surfaces) if given is None else len(frames) // 2
    most = min(config.triangles, max(FEWEST, PER_GAUSSIAN * len(frames[rest])))
    mesh = simplified(surfaces[rest], most) if given is None else given.surface(0)
    tracked = yield from track(mesh, rest, frames, goals)
    evidence = _evidence(frames, asset.cameras)
    yield
    points = yield from register(
        tracked.rigid, tracked.faces, tracked.points, evidence, reshape=given is None
    )
    if given is not None:  # where the views show another shape, its own is believed
        points = tracked.rigid.carried(points, rest)
    vertices = replace(tracked, points=points).vertices(mesh)
    if given is not None:
        return MovingMesh(vertices, given.parts, rest, given.rig)
    atlas = unwrap(mesh, config.texture)
    yield
    texture = bake(atlas, vertices, vertices[rest], evidence, config.texture)
    material = Material(jpeg(texture), unlit=True)
    part = Part(0, len(atlas.vertex), atlas.faces, material, atlas.uv)
    return MovingMesh(vertices[:, atlas.vertex], (part,), rest)


def _evidence(frames: Sequence[Splats], cameras: Cameras) -> Evidence:
    """Renders of all frames from the cameras of the optimization."""
    images = np.stack([cut_out(splats, cameras) for splats in frames])
    trust = np.where(np.arange(len(cameras)) == 0, FRONT_TRUST, 1.0)
    return Evidence.of(images, cameras.to("cpu"), trust)
