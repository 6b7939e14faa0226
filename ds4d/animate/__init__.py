"""Picture to clip: the object of a single picture is cut out and moved in a seamless loop."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from .. import ranges
from ..config import AnimateConfig, MachineConfig, MattingConfig
from ..errors import UserError
from ..run.engines import Engine, check_name
from ..run.events import Event, Stage
from ..run.workspace import replacing
from . import picture, puppet


def choose(config: AnimateConfig) -> Engine:
    """Choose the engine; its run(cut_out [S, S, 4]) returns frames [T, S, S, 4], both uint8."""
    check_name(config.engine, "auto", "puppet")
    run = partial(puppet.run, motion=config.motion, frames=config.frames)
    return Engine("puppet", "needs no weights", run)


def check(config: AnimateConfig, out: Path) -> None:
    """Raise UserError for settings that make no clip, before anything is computed."""
    ranges.check(config)
    if out.suffix != ".webp":
        raise UserError(f"{out.name} is not a name of a clip.", "Give a name that ends in .webp.")


def animate(
    file: Path, out: Path, config: AnimateConfig, machine: MachineConfig, matting: MattingConfig
) -> Stage[str]:
    """Make an animated WebP with alpha, which `generate` takes, from a picture of one object.

    Returns the name of the engine.

    Raises:
        UserError: the picture or the settings cannot be used.
    """
    check(config, out)
    engine = choose(config)
    cut_out = yield from picture.cut_out(file, config.size, machine, matting)
    yield Event("animate", message=engine.message)
    frames = yield from engine.run(cut_out)
    with replacing(out) as path:
        picture.save_clip(path, frames, config.fps)
    return engine.name
