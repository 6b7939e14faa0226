"""Runs on ZeroGPU: one GPU call per stage, and one per slice of the optimization.

On ZeroGPU hardware a GPU exists only inside a decorated function, called from the visitor's own
request. Each call runs in a process of its own: paths, settings and events cross the boundary, and
the results lie in the run folder. Elsewhere spaces.GPU changes nothing.
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

from . import drafts
from .jobs.store import Job

ON_GPU = ("matting", "multiview", "features", "mesh", "fourd", "videos")
SECONDS_TO_LOAD = 30  # weights from the disk, kernels
NOT_ON_THE_HUB = ("rembg-isnet-general-use", "lpips-vgg16")  # so a Space cannot preload them

log = logging.getLogger("ds4d.page")


def available() -> bool:
    """True if this Space runs on ZeroGPU hardware."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))


def prepare() -> None:
    """Download the weights that a Space cannot preload, rather than in a visitor's GPU seconds."""
    from ds4d import weights

    for name in NOT_ON_THE_HUB:
        try:
            weights.fetch(name)
        except UserError as error:  # runs then use the embedded engine, and say so
            log.warning("%s", error)


def stage_by_stage(
    clip: Path, folder: Path, config: Config, slice_seconds: float
) -> Iterator[Event]:
    """Run every stage in a call of its own, with a GPU for the stages that use one.

    Raises UserError, also when the visitor's GPU quota is used up.
    """
    for stage in STAGES:
        compute = run_stage_on_gpu if stage in ON_GPU else run_stage
        paused = True
        while paused:
            call = compute(str(clip), str(folder), config, stage, slice_seconds)
            paused = yield from _one_call(call)


def _one_call(call: Iterator[Event | Exception]) -> Generator[Event, None, bool]:
    """Yield the events of a call; returns True if it paused and needs another one."""
    try:
        with closing(call) as items:
            for item in items:
                if isinstance(item, Paused):
                    return True
                if isinstance(item, Exception):
                    raise item
                yield item
    except gr.Error as error:  # no GPU was granted: the message is meant for the visitor
        hint = "Finished stages are kept. Press Continue when you have GPU quota again."
        raise UserError(str(error.message), hint) from error
    return False


def draft(job: Job) -> Iterator[Event]:
    """Make drafts in one call, with a GPU if a network makes them. Raises as `stage_by_stage`."""
    compute = make_drafts if job.wish.engine == "puppet" else make_drafts_on_gpu
    yield from _one_call(compute(job))


def make_drafts(job: Job) -> Iterator[Event | Exception]:
    """Make the drafts of a job; a UserError is yielded, as by `run_stage`."""
    try:
        yield from drafts.make(job.folder, job.folder / "input" / job.picture, job.config, job.wish)
    except UserError as error:
        yield error


def draft_seconds(job: Job) -> int:
    """GPU seconds to request for drafts; an estimate, which was not measured."""
    each = {"clips": 60, "pictures": 15}[job.wish.task]
    return SECONDS_TO_LOAD + each * len(job.wish.seeds)


def run_stage(
    clip: str, folder: str, config: Config, stage: str, slice_seconds: float
) -> Iterator[Event | Exception]:
    """Run one stage after the finished ones, or one slice of the optimization.

    A UserError is yielded: raised across processes, it would lose its sentence and hint.
    """
    from ds4d import pipeline  # imports torch, which a page that only shows examples does not need

    workspace = Workspace(Path(folder), ours=True)
    try:
        for event in pipeline.generate(Path(clip), workspace, config, stage, slice_seconds):
            if event.stage == stage:
                yield event
    except (UserError, Paused) as error:
        yield error


def seconds(clip: str, folder: str, config: Config, stage: str, slice_seconds: float) -> int:
    """GPU seconds to request for a stage: a generous bound on what was measured (benchmarks/)."""
    frames, fourd = config.clip.frames, config.fourd
    views = 7 * frames
    denoising = 0.08 if config.multiview.guidance > 1 else 0.04  # seconds of a step of one frame
    images = fourd.times_per_step * (3 if fourd.sds else 2)
    steps = fourd.static_iterations + fourd.dynamic_iterations
    per_step = 0.0015 * images + 0.012 * bool(fourd.sds) * fourd.times_per_step
    work = {
        "matting": 1.0 * frames,
        "multiview": denoising * config.multiview.steps * frames + 0.5 * 6 * frames,
        "features": 0.05 * views,
        "mesh": 30.0,
        "fourd": min(steps * per_step, slice_seconds),
        "videos": 0.2 * config.videos.fps * config.videos.seconds,
    }
    return round(SECONDS_TO_LOAD + work[stage])


run_stage_on_gpu = spaces.GPU(duration=seconds)(run_stage)
make_drafts_on_gpu = spaces.GPU(duration=draft_seconds)(make_drafts)
