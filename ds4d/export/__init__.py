"""Export stage: files for splat editors, modelling programs and the web, and a zip archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..config import ExportConfig
from ..errors import UserError
from ..fourd.asset import Asset
from ..moving_mesh.make import NoSurface
from ..run.events import Event, Stage
from ..run.workspace import Workspace
from . import archive, object_mesh, packed, ply, points_cache, root_motion, splat
from .context import ExportContext

# Writers: each writes files into the run folder and yields their names, repeatedly while a large
# file is in progress. The player comes first, because the page shows it after the first step; the
# zip comes last because it contains the others' files.
FORMATS: dict[str, Callable[[ExportContext], Iterator[str]]] = {
    "player": packed.write,
    "ply": ply.write,
    "splat": splat.write,
    "glb": object_mesh.write,
    "cache": points_cache.write,
    "path": root_motion.write,
    "zip": archive.write,
}
MESH_FORMATS = ("glb",)  # not for multi-camera captures, which have no closed surface


def run(
    asset: Asset,
    workspace: Workspace,
    seconds: float,
    formats: Sequence[str] = tuple(FORMATS),
    moment: float = 0.5,
    config: ExportConfig | None = None,
) -> Stage[list[Path]]:
    """Write the chosen formats into exports/ of the run folder; returns the files' paths.

    Everything else that belongs in the zip must already be in the run folder.

    Args:
        seconds: duration of the animation, for formats that play.
        formats: names in FORMATS, written in that order. Mesh formats are skipped for captures.
        moment: position in the clip, in [0, 1], for formats that hold a single moment.
        config: of the moving mesh; None for the defaults.

    Raises:
        UserError: `moment` lies outside [0, 1].
    """
    if not 0 <= moment <= 1:
        raise UserError(
            f"The moment {moment:g} lies outside the clip.",
            "Choose a value from 0 (first frame) to 1 (last frame).",
        )
    context = ExportContext(asset, workspace, seconds, moment, config or ExportConfig())
    skipped = MESH_FORMATS if asset.capture_to_world is not None else ()
    chosen = [name for name in FORMATS if name in formats and name not in skipped]
    files: dict[str, None] = {}  # an ordered set: names recur while a file is in progress
    for step, name in enumerate(chosen):
        try:
            for file in FORMATS[name](context):
                files[file] = None
                yield Event("export", step, len(chosen), f"writing {file}")
        except NoSurface as error:  # the other files are as good without it
            files.pop(object_mesh.SKINNED, None)
            yield Event("export", step, len(chosen), error.sentence, warning=True)
            continue
        yield Event("export", step + 1, len(chosen), f"wrote {name}")
    return [workspace / file for file in files]
