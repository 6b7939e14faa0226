"""The options of the commands."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from ..config import (
    AnimateConfig,
    Config,
    ExportConfig,
    ImagineConfig,
    MachineConfig,
    MattingConfig,
    VideoConfig,
)

View = Literal["orbit", "front", "back", "left", "right", "bullet"]
Metric = Literal[
    "psnr", "ssim", "clip", "lpips", "fvd", "fvd-sets", "fid-vid", "ms-ssim", "d-ssim", "clip-t",
    "clip-d",
]  # fmt: skip
Format = Literal["player", "ply", "splat", "glb", "cache", "path", "zip"]


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
