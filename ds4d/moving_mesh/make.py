"""The moving mesh of an asset: topology, motion and texture."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from ..config import ExportConfig
from ..errors import UserError
from ..fourd.asset import Asset
from ..render.turntable import render_views
from .model import Material, MovingMesh, Part
from .surface import TARGET_TRIANGLES, simplified, surface_of, widest
from .texture import bake, jpeg, unwrap
from .tracking import track

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
    for splats in frames:
        surfaces.append(surface_of(splats))
        yield
    if not any(surfaces):
        raise NoSurface(
            "The object has no surface that a mesh could be made of.",
            "Look at the videos: so faint an object needs better mattes or a longer optimization.",
        )
    goals = [surface and simplified(surface, TARGET_TRIANGLES) for surface in surfaces]
    if given is not None:
        rest = len(frames) // 2
        vertices = yield from track(given.surface(0), rest, frames, goals)
        return MovingMesh(vertices, given.parts, rest)
    rest = widest(surfaces)
    mesh = simplified(surfaces[rest], config.triangles)
    vertices = yield from track(mesh, rest, frames, goals)
    atlas = unwrap(mesh, config.texture)
    yield
    cameras, count = asset.cameras, len(asset.cameras)
    images = np.stack(
        [render_views(asset, cameras, [position] * count) for position in asset.positions.tolist()]
    )
    trust = np.where(np.arange(count) == 0, FRONT_TRUST, 1.0)
    texture = bake(atlas, vertices, rest, images, cameras.to("cpu"), trust, config.texture)
    material = Material(jpeg(texture), unlit=True)
    part = Part(0, len(atlas.vertex), atlas.faces, material, atlas.uv)
    return MovingMesh(vertices[:, atlas.vertex], (part,), rest)
