"""The optimization as a stage: checkpoints, events, and what the record says of it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..config import FourdConfig
from ..events import Event, Stage
from ..guidance import Guidance
from ..multiview import Views
from ..workspace import replacing
from . import checkpoint
from .asset import Asset
from .losses import structural
from .threads import threads_for
from .training import Training

EVENT_EVERY = 20  # steps between two events with figures


def run(
    views: Views,
    positions: Tensor,  # [T] place of each frame in the clip, [0, 1]
    features: Tensor,  # [T, V, h, w, D]
    points: Tensor,  # [N, 3] world, the start
    colors: Tensor,  # [N, 3] in [0, 1]
    config: FourdConfig,
    seed: int,
    checkpoints: Path,  # folder for resumable state
    key: str,  # what the state must have been made from to be resumed
    device: torch.device,
    guidance: Guidance,
) -> Stage[tuple[Asset, dict]]:
    """Optimize, with events; resumes from the last checkpoint of the same key.

    Returns:
        The asset, on the CPU, and the facts of the run for its record.
    """
    perceptual = guidance.perceptual(device) or structural
    sds = yield from guidance.sds(views.images, views.cameras, seed, device)
    training = Training(
        views, positions, features, points, colors, config, seed, device, perceptual, sds
    )
    state = checkpoints / "latest.safetensors"
    resumed = checkpoint.load(state, training, key)
    if resumed:
        words = f"resumed at step {training.step} of {training.total}"
        yield Event("fourd", training.step, training.total, words, warning=True)
    try:
        yield from _steps(training, state, key)
    finally:
        if sds is not None:
            sds.forget()
    facts = {
        "gaussians": len(training.gaussians),
        **guidance.facts(),
        "resumed_from_step": resumed,
    }
    return training.asset(), facts


def _steps(training: Training, state: Path, key: str) -> Stage[None]:
    """Every step that is left, with events and checkpoints."""
    config = training.config
    pixels = 2 * config.times_per_step * config.coarse_size**2
    while training.step < training.total:
        with threads_for(pixels):
            training.advance()
        if training.step % config.checkpoint_every == 0:
            with replacing(state) as path:
                checkpoint.save(path, training, key)
        told = training.step % EVENT_EVERY == 0 or training.step == training.total
        # An event every step, so that whoever closes the generator waits for one step only.
        yield training.event() if told else Event("fourd", training.step, training.total)
