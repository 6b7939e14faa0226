"""The commands: generate, batch, inspect, animate, imagine, render, export, evaluate, doctor."""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any

import tyro

from ..batch.command import Batch
from ..config import Config, FourdConfig
from ..errors import UserError, of_the_machine
from ..fourd.ablations import ABLATIONS
from ..presets import PRESETS
from .commands import RUNNERS
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

INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it
OUTPUT_CLOSED = 141  # and after a broken pipe


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
