"""The optimization as a stage: checkpoints, events, and what the record says of it."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from ..config import FourdConfig
from ..errors import Paused
from ..guidance import Guidance
from ..multiview.views import Views
from ..run import early_stop
from ..run.events import Event, Stage
from ..run.workspace import replacing
from . import checkpoint
from .asset import Asset
from .losses import structural
from .threads import threads_for
from .trainer import Training

EVENT_EVERY = 20  # steps between two events with figures


def run(
    views: Views,
    positions: Tensor,  # [T] place of each frame in the clip, [0, 1]
    features: Tensor,  # [T, V, h, w, D]
    points: Tensor,  # [N, 3] world, the start
    colors: Tensor,  # [N, 3] in [0, 1]
    config: FourdConfig,
    seed: int,
    checkpoints: Path,  # folder inside the run folder for resumable state
    key: str,  # what the state must have been made from to be resumed
    device: torch.device,
    guidance: Guidance,
    pause_after: float | None = None,  # seconds of optimizing after which to raise Paused
    rasterizer: str = "auto",
) -> Stage[tuple[Asset, dict]]:
    """Optimize, with events; resumes from the last checkpoint of the same key.

    While `early_stop` is requested, it ends as soon as the object moves.
    A run that ends early, by closing, too, saves its state where the last step left it.

    Returns:
        The asset, on the CPU, and the facts of the run for its record.

    Raises:
        Paused: the time is up and steps are left.
    """
    perceptual = guidance.perceptual(device) or structural
    sds = yield from guidance.sds(views.images, views.cameras, seed, device)
    training = Training(
        views, positions, features, points, colors, config, seed, device, perceptual, sds,
        rasterizer,
    )  # fmt: skip
    state = checkpoints / "latest.safetensors"
    resumed = checkpoint.load(state, training, key)
    if resumed:
        words = f"resumed at step {training.step} of {training.total}"
        yield Event("fourd", training.step, training.total, words, warning=True)
    deadline = time.monotonic() + (float("inf") if pause_after is None else pause_after)
    try:
        yield from _steps(training, state, key, deadline)
    finally:
        if sds is not None:
            sds.forget()
    facts = {
        "gaussians": len(training.gaussians),
        "views_bent": training.warps is not None,
        "resumed_from_step": resumed,
    }
    if training.step < training.total:
        facts |= {"stopped_at_step": training.step, "of_steps": training.total}
    return training.asset(), facts


def _steps(training: Training, state: Path, key: str, deadline: float) -> Stage[None]:
    """The steps that are left, with events and checkpoints; fewer if an early stop is requested."""
    config, first = training.config, training.step
    run_folder = state.parents[1]
    try:
        while training.step < training.total:
            if training.moving and early_stop.requested(run_folder):
                _save(state, training, key)
                words = f"stopped at step {training.step} of {training.total}, as asked"
                yield Event("fourd", training.step, training.total, words, warning=True)
                return
            if time.monotonic() > deadline and training.step > first:
                raise Paused
            with threads_for(training.pixels):
                training.advance()
            if training.step % config.checkpoint_every == 0:
                _save(state, training, key)
            told = training.step % EVENT_EVERY == 0 or training.step == training.total
            # An event every step, so that whoever closes the generator waits for one step only.
            yield training.event() if told else Event("fourd", training.step, training.total)
    except (GeneratorExit, Paused):
        _save(state, training, key)
        raise


def _save(state: Path, training: Training, key: str) -> None:
    with replacing(state) as path:
        checkpoint.save(path, training, key)
