"""The work of the commands.

Heavy imports happen when a command runs, so that help appears at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ..batch.command import Batch
from ..config import MachineConfig, VideoConfig
from ..errors import UserError
from .options import (
    Animate,
    Doctor,
    Evaluate,
    Export,
    Generate,
    Imagine,
    Inspect,
    Render,
)

REFUSED = 2  # exit code of inspect for a clip that a run would refuse


def _generate(command: Generate) -> int:
    from .. import pipeline
    from ..run.progress import show
    from ..run.workspace import Workspace

    pipeline.check(command.clip, command.config)
    workspace = Workspace(command.out)
    show(pipeline.generate(command.clip, workspace, command.config))
    for name, stage in workspace.record["stages"].items():
        engine = f" ({stage['engine']})" if "engine" in stage else ""
        print(f"{name}{engine}: {stage['seconds']} s", file=sys.stderr)
    print(f"Done: {workspace.root / 'videos' / 'orbit.mp4'}", file=sys.stderr)
    return 0


def _batch(command: Batch) -> int:
    from ..batch import work

    return work.run(command)


def _animate(command: Animate) -> int:
    from .. import animate
    from ..run.progress import show

    show(animate.animate(
        command.picture, command.out, command.config, command.machine, command.matting
    ))  # fmt: skip
    print(f"Done: {command.out}", file=sys.stderr)
    return 0


def _inspect(command: Inspect) -> int:
    from ..preflight import inspection, ranges

    try:
        ranges.check(command.config)
        found = inspection.facts(command.clip, command.config)
        if command.frames or command.mattes:
            inspection.write_pictures(command.clip, command.config, command.frames, command.mattes)
    except UserError as error:
        if not command.json:
            print(f"{error.sentence}\n{error.hint}".strip(), file=sys.stderr)
        else:
            print(json.dumps({"error": error.sentence, "hint": error.hint}))
        return REFUSED
    print(inspection.as_json(found) if command.json else inspection.as_text(found))
    return 0


def _imagine(command: Imagine) -> int:
    from ..animate import imagine
    from ..run.progress import show

    drawn = imagine.imagine(
        command.words, command.out, command.config, command.machine, command.matting
    )
    for path in show(drawn):
        print(path)
    return 0


def _render(command: Render) -> int:
    from ..preflight import ranges
    from ..render import animation, in_clip, turntable
    from ..run.progress import show

    asset, workspace = _finished(command.run, command.machine)
    ranges.check(command.videos, "--videos.")
    rasterizer = command.machine.rasterizer
    if command.format == "mp4" and set(command.views) == set(turntable.VIDEOS):
        work = [
            turntable.run(asset, workspace, command.videos, rasterizer),
            in_clip.run(asset, workspace, command.videos, rasterizer),
        ]
    else:
        work = [
            animation.run(asset, workspace, view, command.format, command.videos, rasterizer)
            for view in command.views
        ]
    with workspace.lock():
        for drawing in work:
            show(drawing)
    return 0


def _export(command: Export) -> int:
    from .. import export
    from ..preflight import ranges
    from ..run.progress import show
    from ..run.structure import structure

    asset, workspace = _finished(command.run, MachineConfig())
    ranges.check(command.export, "--export.")
    recorded = workspace.record.get("config", {}).get("videos", {})
    seconds = structure(recorded, VideoConfig).seconds
    with workspace.lock():
        files = show(
            export.run(asset, workspace, seconds, command.formats, command.moment, command.export)
        )
    for path in files:
        print(path)
    return 0


def _evaluate(command: Evaluate) -> int:
    from .. import evaluation
    from ..evaluation import papers
    from ..images import load_images
    from ..run.progress import show

    asset, workspace = _finished(command.run, command.machine)
    folder = workspace.root / "evaluation" / command.case.resolve().name
    with workspace.lock():
        scores = show(evaluation.evaluate(
            asset, command.case, folder, command.machine.rasterizer, workspace
        ))  # fmt: skip
        more = tuple(name for name in command.metrics if name not in scores["heldout"])
        if more:
            frames = load_images(workspace / "frames")
            scores["papers"] = show(papers.score(
                more, folder, command.case, asset, frames, command.machine
            ))  # fmt: skip
    print(json.dumps(scores, indent=1))
    return 0


def _doctor(command: Doctor) -> int:
    from .. import doctor

    return doctor.report(command.machine, command.download)


def _finished(run: Path, machine: MachineConfig) -> tuple[Any, Any]:
    """The asset of an existing run folder, on the device that renders it, and the workspace."""
    from ..fourd.asset import Asset
    from ..run import device
    from ..run.workspace import Workspace
    from ..splatting.rasterize import check

    if not run.is_dir():
        raise UserError(f"There is no run folder {run}.", "Give the --out folder of a generate.")
    place = device.pick(machine.device)
    check(machine.rasterizer, place)
    workspace = Workspace(run)
    return Asset.load(run / "fourd.safetensors").to(place), workspace


RUNNERS = {
    Generate: _generate,
    Batch: _batch,
    Inspect: _inspect,
    Animate: _animate,
    Imagine: _imagine,
    Render: _render,
    Export: _export,
    Evaluate: _evaluate,
    Doctor: _doctor,
}
