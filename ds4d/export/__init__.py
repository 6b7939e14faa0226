"""Files to take away: for splat editors, modelling programs and the web, and a zip of them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..run.events import Event, Stage
from ..run.workspace import Workspace
from . import animated_glb, archive, packed, ply, points_cache, splat
from .context import Scene

if TYPE_CHECKING:
    from ..fourd.asset import Asset

# Each writes its files into the run folder and yields their names there while it works, a large
# file's again and again. The zip comes last: it holds what the others wrote.
FORMATS: dict[str, Callable[[Scene], Iterator[str]]] = {
    "ply": ply.write,
    "splat": splat.write,
    "glb": animated_glb.write,
    "cache": points_cache.write,
    "player": packed.write,
    "zip": archive.write,
}
SURFACES = ("glb",)  # a scene of real cameras has no closed one


def run(
    asset: Asset,
    workspace: Workspace,
    seconds: float,
    formats: Sequence[str] = tuple(FORMATS),
    moment: float = 0.5,
) -> Stage[list[Path]]:
    """Write the chosen formats into exports/ of the run folder; returns the files' paths.

    Everything else that belongs in the zip has to be in the run folder already.

    Args:
        seconds: how long the clip plays in formats that play.
        formats: names in FORMATS; written in the order of FORMATS. Of a scene, no surface is.
        moment: place in the clip, in [0, 1], for formats that hold one moment.

    Raises:
        UserError: the moment is not in the clip.
    """
    if not 0 <= moment <= 1:
        raise UserError(
            f"The moment {moment:g} is not in the clip.",
            "Choose one from 0 (the first frame) to 1 (the last).",
        )
    scene = Scene(asset, workspace, seconds, moment)
    skipped = SURFACES if asset.scene is not None else ()
    chosen = [name for name in FORMATS if name in formats and name not in skipped]
    files: dict[str, None] = {}  # in the order in which they were written
    for step, name in enumerate(chosen):
        for file in FORMATS[name](scene):
            files[file] = None
            yield Event("export", step, len(chosen), f"writing {file}")
        yield Event("export", step + 1, len(chosen), f"{name} is written")
    return [workspace / file for file in files]
