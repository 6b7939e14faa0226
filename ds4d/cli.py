"""The commands: generate, batch, inspect, animate, imagine, render, export, evaluate, doctor.

Heavy imports happen when a command runs, so that help appears at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from .batch.command import Batch
from .config import (
    AnimateConfig,
    Config,
    ExportConfig,
    FourdConfig,
    ImagineConfig,
    MachineConfig,
    MattingConfig,
    VideoConfig,
)
from .errors import UserError, of_the_machine
from .fourd.ablations import ABLATIONS
from .presets import PRESETS

View = Literal["orbit", "front", "back", "left", "right", "bullet"]
Metric = Literal[
    "psnr", "ssim", "clip", "lpips", "fvd", "fvd-sets", "fid-vid", "ms-ssim", "d-ssim", "clip-t",
    "clip-d",
]  # fmt: skip
Format = Literal["player", "ply", "splat", "glb", "cache", "path", "zip"]
REFUSED = 2  # exit code of inspect for a clip that a run would refuse
INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it
OUTPUT_CLOSED = 141  # and after a broken pipe


def _listed(literal: Any) -> PrimitiveConstructorSpec[tuple[str, ...]]:
    """Names of a Literal on the command line, with spaces or commas between them."""
    known = get_args(literal)

    def read(words: list[str]) -> tuple[str, ...]:
        names = tuple(name for word in words for name in word.split(",") if name)
        for name in names:
            if name not in known:
                raise ValueError(f"{name} is none of {', '.join(known)}")
        return names

    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"[{{{','.join(known)}}} [...]]",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, tuple) and set(value) <= set(known),
        str_from_instance=list,
    )


@dataclasses.dataclass(frozen=True)
class Generate:
    """Make a 4D asset, videos and exports from a clip; continues an earlier run in the folder."""

    clip: tyro.conf.Positional[Path]
    """Video, animated image, folder or zip of images, or case folder (docs/clips.md)."""
    out: Path
    """Run folder; created if it does not exist."""
    config: Annotated[Config, tyro.conf.arg(name="")]


@dataclasses.dataclass(frozen=True)
class Animate:
    """Make a short clip of a picture of one object, for `generate`."""

    picture: tyro.conf.Positional[Path]
    """Picture of one object (PNG, JPEG, WebP), with or without a transparent background."""
    out: Path
    """Animated WebP to write, with a transparent background."""
    config: Annotated[AnimateConfig, tyro.conf.arg(name="")]
    machine: Annotated[MachineConfig, tyro.conf.arg(name="")]
    matting: MattingConfig = dataclasses.field(default_factory=MattingConfig)


@dataclasses.dataclass(frozen=True)
class Inspect:
    """Report on a clip before a run: frames that would be used, and what may go wrong."""

    clip: tyro.conf.Positional[Path]
    """Clip, as for generate."""
    config: Annotated[Config, tyro.conf.arg(name="")]
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the report as JSON."""
    frames: Path | None = None
    """Folder for the frames that a run would use, as PNGs."""
    mattes: Path | None = None
    """Folder for their mattes by the embedded engines, as PNGs."""


@dataclasses.dataclass(frozen=True)
class Imagine:
    """Draw pictures of one object from words, for `animate`; needs a GPU."""

    words: tyro.conf.Positional[str]
    """Words for the object: "a red fox in a blue coat"."""
    out: Path
    """Folder to create: a cut-out picture per seed, and a sheet of all."""
    config: Annotated[ImagineConfig, tyro.conf.arg(name="")]
    machine: Annotated[MachineConfig, tyro.conf.arg(name="")]
    matting: MattingConfig = dataclasses.field(default_factory=MattingConfig)


@dataclasses.dataclass(frozen=True)
class Render:
    """Render a run's videos again: orbit, front, back, left, right, bullet-time."""

    run: tyro.conf.Positional[Path]
    """Run folder with a finished optimization."""
    machine: Annotated[MachineConfig, tyro.conf.arg(name="")]
    format: Literal["mp4", "gif", "webm"] = "mp4"
    """Format; mp4 and gif are on white, webm is transparent; gif and webm go to
    exports/animations."""
    views: Annotated[tuple[View, ...], _listed(View)] = get_args(View)
    """Videos to render."""
    videos: VideoConfig = dataclasses.field(default_factory=VideoConfig)


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a run's files for other programs again, and the zip of everything."""

    run: tyro.conf.Positional[Path]
    """Run folder with a finished optimization."""
    formats: Annotated[tuple[Format, ...], _listed(Format)] = get_args(Format)
    """Formats to write: player (packed 4D file and offline web page), ply (a splat file per frame),
    splat (one moment for splat viewers: splat, spz, glb), glb (one mesh that moves, also as usdz),
    cache (numpy arrays and an import script for Blender), path (of an object that crosses the
    frame), zip (everything)."""
    moment: float = 0.5
    """Moment that splat shows, from 0 = start to 1 = end of the clip."""
    export: ExportConfig = dataclasses.field(default_factory=ExportConfig)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Compare a run with a ground-truth case and print the metrics as JSON."""

    run: tyro.conf.Positional[Path]
    """Run folder with a finished optimization."""
    case: tyro.conf.Positional[Path]
    """Case folder with cameras.json, heldout/ and orbit/, or Consistent4D's eval_0/ to eval_3/."""
    machine: Annotated[MachineConfig, tyro.conf.arg(name="")]
    metrics: Annotated[tuple[Metric, ...], _listed(Metric)] = ()
    """Scores of the papers: clip, lpips, fvd, fvd-sets and fid-vid (networks, held-out views),
    ms-ssim, d-ssim, clip-t and clip-d (networks, renders of the asset); psnr, ssim and those of
    the mattes and the motion are always there."""


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Check this machine: device, engines and their weights, versions, memory and disk."""

    machine: Annotated[MachineConfig, tyro.conf.arg(name="")]
    download: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print sizes and licences of the pretrained engines' weights, and download them first."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM is handled like Ctrl-C
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may hold what a terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        command = tyro.cli(_commands(arguments), prog="python -m ds4d", args=arguments)
        return RUNNERS[type(command)](command)
    except BrokenPipeError:  # the reader of our output has gone, as after `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT_CLOSED
    except (KeyboardInterrupt, SystemError) as error:
        if not _is_ctrl_c(error):
            raise
        print("\nStopped. The same command continues from the last checkpoint.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # some writers tell a full disk by errors of their own
        explained = error if isinstance(error, UserError) else of_the_machine(error)
        if explained is None:
            raise
        print("", _printable(explained.sentence), sep="\n", file=sys.stderr)
        if explained.hint:
            print(_printable(explained.hint), file=sys.stderr)
        return 1


def _printable(text: str) -> str:
    """Text without control characters, which names of files may hold and terminals obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _is_ctrl_c(error: BaseException | None) -> bool:
    """Recognize a Ctrl-C, or an error caused by one: inside a numba kernel, it ends as a
    SystemError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def _commands(arguments: list[str]) -> Any:
    """The commands as a type for tyro, with the defaults of the requested preset and ablation."""
    preset, ablation = _preset(arguments)
    config = dataclasses.replace(preset, fourd=ablation(preset.fourd))
    start = Generate(clip=tyro.MISSING, out=tyro.MISSING, config=config)
    look = Inspect(clip=tyro.MISSING, config=config)
    many = Batch(clips=tyro.MISSING, out=tyro.MISSING, config=config)
    return (
        Annotated[Generate, tyro.conf.subcommand("generate", default=start)]
        | Annotated[Batch, tyro.conf.subcommand("batch", default=many)]
        | Annotated[Inspect, tyro.conf.subcommand("inspect", default=look)]
        | Annotated[Animate, tyro.conf.subcommand("animate")]
        | Annotated[Imagine, tyro.conf.subcommand("imagine")]
        | Annotated[Render, tyro.conf.subcommand("render")]
        | Annotated[Export, tyro.conf.subcommand("export")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    )


def _preset(arguments: list[str]) -> tuple[Config, Callable[[FourdConfig], FourdConfig]]:
    """The requested preset and ablation, parsed ahead of everything else.

    They give all other options their defaults. `tyro.extras.overridable_config_cli` would do this
    by subcommands, which cannot keep two options that combine freely and stand anywhere in the
    line. Names that do not exist are left for tyro to report.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", nargs="?")
    parser.add_argument("--ablation", nargs="?")
    requested, _ = parser.parse_known_args(arguments)
    preset = PRESETS.get(requested.preset, Config())
    return preset, ABLATIONS.get(requested.ablation, ABLATIONS["none"])


def _generate(command: Generate) -> int:
    from . import pipeline
    from .run.progress import show
    from .run.workspace import Workspace

    pipeline.check(command.clip, command.config)
    workspace = Workspace(command.out)
    show(pipeline.generate(command.clip, workspace, command.config))
    for name, stage in workspace.record["stages"].items():
        engine = f" ({stage['engine']})" if "engine" in stage else ""
        print(f"{name}{engine}: {stage['seconds']} s", file=sys.stderr)
    print(f"Done: {workspace.root / 'videos' / 'orbit.mp4'}", file=sys.stderr)
    return 0


def _batch(command: Batch) -> int:
    from .batch import work

    return work.run(command)


def _animate(command: Animate) -> int:
    from . import animate
    from .run.progress import show

    show(animate.animate(
        command.picture, command.out, command.config, command.machine, command.matting
    ))  # fmt: skip
    print(f"Done: {command.out}", file=sys.stderr)
    return 0


def _inspect(command: Inspect) -> int:
    from .preflight import inspection, ranges

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
    from .animate import imagine
    from .run.progress import show

    drawn = imagine.imagine(
        command.words, command.out, command.config, command.machine, command.matting
    )
    for path in show(drawn):
        print(path)
    return 0


def _render(command: Render) -> int:
    from .preflight import ranges
    from .render import animation, in_clip, turntable
    from .run.progress import show

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
    from . import export
    from .preflight import ranges
    from .run.progress import show
    from .run.structure import structure

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
    from . import evaluation
    from .evaluation import papers
    from .images import load_images
    from .run.progress import show

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
    from . import doctor

    return doctor.report(command.machine, command.download)


def _finished(run: Path, machine: MachineConfig) -> tuple[Any, Any]:
    """The asset of an existing run folder, on the device that renders it, and the workspace."""
    from .fourd.asset import Asset
    from .run import device
    from .run.workspace import Workspace
    from .splatting.rasterize import check

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
