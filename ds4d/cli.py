"""The command line: python -m ds4d generate | render | export | evaluate | doctor.

Heavy imports happen when a command runs, so that help appears at once.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from .config import PRESETS, Config, MachineConfig, VideoConfig
from .errors import UserError
from .fourd.ablations import ABLATIONS

View = Literal["orbit", "front", "back", "left", "right", "bullet"]
Format = Literal["ply", "splat", "glb", "cache", "player", "zip"]
INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it


@dataclasses.dataclass(frozen=True)
class Generate:
    """Make a 4D asset, videos and exports from a clip; goes on where an earlier run stopped."""

    clip: tyro.conf.Positional[Path]
    """video (mp4, mov, webm, mkv), GIF, WebP, folder of images, or case folder"""
    out: Path
    """run folder, made if it is not there"""
    config: Annotated[Config, tyro.conf.arg(name="")]


@dataclasses.dataclass(frozen=True)
class Render:
    """Draw a run's videos again: orbit, front, back, left, right, bullet-time."""

    run: tyro.conf.Positional[Path]
    """run folder with a finished optimization"""
    machine: Annotated[MachineConfig, tyro.conf.arg(name="")]
    format: Literal["mp4", "gif", "webm"] = "mp4"
    """mp4 and gif are on white, webm is transparent; gif and webm go to exports/animations"""
    views: tuple[View, ...] = get_args(View)
    """which videos"""
    videos: VideoConfig = dataclasses.field(default_factory=VideoConfig)


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a run's files for other programs again, and the zip of everything."""

    run: tyro.conf.Positional[Path]
    """run folder with a finished optimization"""
    formats: tuple[Format, ...] = get_args(Format)
    """ply: a splat file per frame; splat: one moment for web viewers; glb: an animated mesh; cache:
    numpy arrays and an import script for Blender; player: packed 4D file and offline web page"""
    moment: float = 0.5
    """place in the clip that splat shows, from 0 to 1"""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Compare a run with a ground-truth case; prints the metrics as JSON."""

    run: tyro.conf.Positional[Path]
    """run folder with a finished optimization"""
    case: tyro.conf.Positional[Path]
    """case folder with cameras.json, heldout/ and orbit/"""
    machine: Annotated[MachineConfig, tyro.conf.arg(name="")]


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Say what runs here: device, engines and their weights, versions, memory and disk."""

    machine: Annotated[MachineConfig, tyro.conf.arg(name="")]
    download: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """first fetch the weights of the pretrained engines; says sizes and licences before"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is a Ctrl-C
    try:
        command = tyro.cli(_commands(arguments), prog="python -m ds4d", args=arguments)
        return RUNNERS[type(command)](command)
    except UserError as error:
        print(f"\n{error.sentence}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemError) as error:
        if not _is_ctrl_c(error):
            raise
        print("\nStopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return INTERRUPTED


def _is_ctrl_c(error: BaseException | None) -> bool:
    """Also one that came while a numba kernel handed over what it had found: that ends as a
    SystemError, whose cause it is."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def _commands(arguments: list[str]) -> Any:
    """The commands as a type for tyro; the asked preset and ablation give generate's defaults."""
    preset = PRESETS.get(_asked("--preset", arguments), Config())
    ablation = ABLATIONS.get(_asked("--ablation", arguments), ABLATIONS["none"])
    config = dataclasses.replace(preset, fourd=ablation(preset.fourd))
    start = Generate(clip=tyro.MISSING, out=tyro.MISSING, config=config)
    return (
        Annotated[Generate, tyro.conf.subcommand("generate", default=start)]
        | Annotated[Render, tyro.conf.subcommand("render")]
        | Annotated[Export, tyro.conf.subcommand("export")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    )


def _asked(option: str, arguments: list[str]) -> str | None:
    for index, argument in enumerate(arguments):
        if argument == option and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}=")
    return None


def _generate(command: Generate) -> int:
    from . import pipeline
    from .run.progress import show
    from .run.workspace import Workspace

    workspace = Workspace(command.out)
    show(pipeline.generate(command.clip, workspace, command.config))
    for name, stage in workspace.record["stages"].items():
        engine = f" ({stage['engine']})" if "engine" in stage else ""
        print(f"{name}{engine}: {stage['seconds']} s", file=sys.stderr)
    print(f"Done: {workspace.root / 'videos' / 'orbit.mp4'}", file=sys.stderr)
    return 0


def _render(command: Render) -> int:
    from .render import animation, turntable
    from .run.progress import show

    asset, workspace = _finished(command.run, command.machine)
    rasterizer = command.machine.rasterizer
    if command.format == "mp4" and set(command.views) == set(turntable.VIDEOS):
        work = [turntable.run(asset, workspace, command.videos, rasterizer)]
    else:
        work = [
            animation.run(asset, workspace, view, command.format, command.videos, rasterizer)
            for view in command.views
        ]
    for drawing in work:
        show(drawing)
    return 0


def _export(command: Export) -> int:
    from . import export
    from .run.progress import show

    asset, workspace = _finished(command.run, MachineConfig())
    seconds = VideoConfig(**workspace.record["config"]["videos"]).seconds
    for path in show(export.run(asset, workspace, seconds, command.formats, command.moment)):
        print(path)
    return 0


def _evaluate(command: Evaluate) -> int:
    from . import evaluation
    from .run.progress import show

    asset, workspace = _finished(command.run, command.machine)
    folder = workspace.root / "evaluation" / command.case.resolve().name
    scoring = evaluation.evaluate(asset, command.case, folder, command.machine.rasterizer)
    print(json.dumps(show(scoring), indent=1))
    return 0


def _doctor(command: Doctor) -> int:
    from . import doctor

    return doctor.report(command.machine, command.download)


def _finished(run: Path, machine: MachineConfig) -> tuple[Any, Any]:
    """The asset of a run folder that is there already, where it is to be drawn; the workspace."""
    from .fourd.asset import Asset
    from .run import device
    from .run.workspace import Workspace
    from .splatting.rasterize import check

    if not run.is_dir():
        raise UserError(f"There is no run folder {run}.", "Give the --out folder of a generate.")
    place = device.pick(machine.device)
    check(machine.rasterizer, place)
    return Asset.load(run / "fourd.safetensors").to(place), Workspace(run)


RUNNERS = {
    Generate: _generate,
    Render: _render,
    Export: _export,
    Evaluate: _evaluate,
    Doctor: _doctor,
}
