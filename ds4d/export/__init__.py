"""Files to take away: a sequence of splat files, and a zip of everything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..events import Event, Stage
from ..workspace import Workspace
from .archive import write_zip
from .ply import to_ply_axes, write_ply

if TYPE_CHECKING:
    from ..fourd.asset import Asset

ZIP = "exports/ds4d.zip"


def run(asset: Asset, workspace: Workspace) -> Stage[list[Path]]:
    """Write exports/ply/frame_0001.ply ... (one per training frame) and exports/ds4d.zip.

    Returns their paths, the zip last. Everything else that belongs in the zip has to be in the
    run folder already.
    """
    names = [f"frame_{number:04d}.ply" for number in range(1, len(asset.positions) + 1)]
    total = len(names) + 1  # the zip is the last unit of work

    with workspace.replacing("exports/ply") as folder:
        folder.mkdir()
        for step, (name, position) in enumerate(zip(names, asset.positions.tolist(), strict=True)):
            write_ply(folder / name, to_ply_axes(asset.splats(position)))
            yield Event("export", step + 1, total, f"wrote {name}")

    with workspace.replacing(ZIP) as target:
        for path in write_zip(target, workspace.root):
            yield Event("export", len(names), total, f"packing {path.relative_to(workspace.root)}")
    yield Event("export", total, total, "wrote ds4d.zip")
    return [*(workspace / "exports/ply" / name for name in names), workspace / ZIP]
