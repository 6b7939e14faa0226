"""Stages on a GPU that is lent: a call for each, and one for each slice of the optimization.

On ZeroGPU hardware a GPU is there only inside a function that asked for it, in the visitor's own
request. Such a call runs in a process of its own: what goes in and comes out are paths, settings
and events, and the work itself lies in the run folder. Elsewhere spaces.GPU changes nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import gradio as gr
import spaces

from ds4d.config import Config
from ds4d.errors import Paused, UserError
from ds4d.run.events import STAGES, Event
from ds4d.run.workspace import Workspace

from .limits import LIMITS

LENT = bool(os.environ.get("SPACES_ZERO_GPU"))
ON_GPU = ("matting", "multiview", "features", "mesh", "fourd", "videos")
SECONDS_TO_LOAD = 30  # weights from the disk, kernels

log = logging.getLogger("ds4d.app")


# Beside what a Space's README lets it preload from the hub.
NOT_ON_THE_HUB = ("rembg-isnet-general-use", "lpips-vgg16")


def prepare() -> None:
    """Bring the weights that cannot be preloaded, before a visitor's GPU seconds pass with it."""
    if not LENT:
        return
    from ds4d import weights

    for name in NOT_ON_THE_HUB:
        try:
            weights.fetch(name)
        except UserError as error:  # the embedded engine stands in, and says why
            log.warning("%s", error)


def stage_by_stage(clip: Path, folder: Path, config: Config) -> Iterator[Event]:
    """Every stage in a call of its own, with a GPU for those that use one.

    Raises UserError, also where the visitor has no more GPU seconds today.
    """
    for stage in STAGES:
        compute = on_lent_gpu if stage in ON_GPU else one_stage
        paused = True
        while paused:
            paused = yield from _one_call(compute(str(clip), str(folder), config, stage))


def _one_call(call: Iterator[Event | Exception]) -> Generator[Event, None, bool]:
    """The events of a call; True where it paused and wants another."""
    try:
        with closing(call) as news:
            for item in news:
                if isinstance(item, Paused):
                    return True
                if isinstance(item, Exception):
                    raise item
                yield item
    except gr.Error as error:  # no GPU is lent: its words are meant for the visitor
        hint = "What is finished is kept: press Go on when a GPU can be lent again."
        raise UserError(str(error.message), hint) from error
    return False


def one_stage(clip: str, folder: str, config: Config, stage: str) -> Iterator[Event | Exception]:
    """One stage of a run whose earlier stages are done, or one slice of the optimization.

    A UserError is handed over as news: raised across processes, it would lose its words.
    """
    from ds4d import pipeline  # brings torch, which a page that only shows examples does not need

    workspace, pause = Workspace(Path(folder)), LIMITS.slice_seconds
    try:
        for event in pipeline.generate(Path(clip), workspace, config, stage, pause):
            if event.stage == stage:
                yield event
    except (UserError, Paused) as error:
        yield error


def seconds(clip: str, folder: str, config: Config, stage: str) -> int:
    """How long a GPU is asked for, on the safe side of what was measured (benchmarks/)."""
    frames, fourd = config.clip.frames, config.fourd
    views = 7 * frames
    step = 0.08 if config.multiview.guidance > 1 else 0.04  # of one frame's denoising
    times = fourd.times_per_step
    pictures = times * (3 if fourd.sds else 2)
    steps = fourd.static_iterations + fourd.dynamic_iterations
    work = {
        "matting": 1.0 * frames,
        "multiview": step * config.multiview.steps * frames + 0.5 * 6 * frames,
        "features": 0.05 * views,
        "mesh": 30.0,
        "fourd": min(
            steps * (0.0015 * pictures + 0.012 * bool(fourd.sds) * times),
            LIMITS.slice_seconds,
        ),
        "videos": 0.2 * config.videos.fps * config.videos.seconds,
    }
    return round(SECONDS_TO_LOAD + work[stage])


on_lent_gpu = spaces.GPU(duration=seconds)(one_stage)
