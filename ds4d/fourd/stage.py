"""The 4D stage of a run: optimization with checkpoints, events and facts for the record."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numba
import torch
from torch import Tensor

from ..config import FourdConfig
from ..errors import Paused
from ..guidance import Guidance
from ..multiview.views import Views
from ..run import early_stop
from ..run.events import Event, Stage
from ..run.free_cores import FreeCores, threads
from ..run.workspace import replacing
from ..splatting.splats import Splats
from . import checkpoint, preview
from .asset import Asset
from .losses import structural
from .trainer import Trainer

EVENT_INTERVAL = 20  # steps between two events with figures
# Pixels rendered in a step per thread of torch: its operations on small images are so short that
# waking a second thread takes longer than it saves. The kernels use all free cores.
PIXELS_PER_THREAD = 256 * 256


def run(
    views: Views,
    positions: Tensor,  # [T] place of each frame in the clip, [0, 1]
    features: Tensor,  # [T, V, h, w, D]
    points: Tensor,  # [N, 3] world, the start
    colors: Tensor,  # [N, 3] in [0, 1]
    config: FourdConfig,
    seed: int,
    checkpoints: Path,  # folder for resumable state, in the run folder
    key: str,  # what the state must have been made from to be resumed
    device: torch.device,
    guidance: Guidance,
    pause_after: float | None = None,  # seconds of optimizing after which to raise Paused
    rasterizer: str = "auto",
    start: Splats | None = None,  # of the middle frame, to begin with instead of the points
) -> Stage[tuple[Asset, dict]]:
    """Optimize, with events; resumes from the last checkpoint of the same key.

    An early stop that is requested takes effect once the object moves. A run that ends early, by
    closing, too, saves its state after the last step.

    Returns:
        The asset, on the CPU, and the facts of the run for its record.

    Raises:
        Paused: the time is up and steps are left.
    """
    perceptual = guidance.perceptual(device) or structural
    sds = yield from guidance.sds(views.images, views.cameras, seed, device)

    def begin() -> Trainer:
        return Trainer(
            views, positions, features, points, colors, config, seed, device, perceptual, sds,
            rasterizer, start,
        )  # fmt: skip

    path = checkpoints / "latest.safetensors"
    trainer = yield from _resumed(begin, path, key)
    resumed = trainer.step
    deadline = time.monotonic() + (float("inf") if pause_after is None else pause_after)
    # Sums of a network depend on the number of threads, which has to stay the same for it.
    least = 1 if perceptual is structural and sds is None else numba.get_num_threads()
    try:
        yield from _steps(trainer, path, key, deadline, least)
    finally:
        if sds is not None:
            sds.free()
    facts = {
        "gaussians": len(trainer.model.gaussians),
        "view_correction": trainer.correction is not None,
        "resumed_from_step": resumed,
    }
    if trainer.step < trainer.total:
        facts |= {"stopped_at_step": trainer.step, "of_steps": trainer.total}
    return trainer.asset(), facts


def _resumed(start: Callable[[], Trainer], path: Path, key: str) -> Stage[Trainer]:
    """A trainer at the last checkpoint of this key, or at the first step."""
    trainer, saved = start(), checkpoint.load(path, key)
    if saved is None:
        return trainer
    try:
        trainer.load_state_dict(*saved)
    except (KeyError, RuntimeError):
        message = "the checkpoint is of another version: the optimization starts again"
        yield Event("fourd", 0, trainer.total, message, warning=True)
        return start()
    message = f"resumed at step {trainer.step} of {trainer.total}"
    yield Event("fourd", trainer.step, trainer.total, message, warning=True)
    return trainer


def _steps(
    trainer: Trainer, path: Path, key: str, deadline: float, least_threads: int
) -> Stage[None]:
    """Take the remaining steps, with events and checkpoints, until an early stop is requested."""
    first, started = trainer.step, time.perf_counter()
    run_folder, free = path.parents[1], FreeCores()
    try:
        while trainer.step < trainer.total:
            if trainer.dynamic and early_stop.requested(run_folder):
                _save(path, trainer, key)
                message = f"stopped at step {trainer.step} of {trainer.total}, as requested"
                yield Event("fourd", trainer.step, trainer.total, message, warning=True)
                return
            if time.monotonic() > deadline and trainer.step > first:
                raise Paused
            advance(trainer, max(free.look(), least_threads))
            if trainer.step % trainer.config.checkpoint_every == 0:
                _save(path, trainer, key)
            # An event every step, so that closing the generator waits for one step only.
            if trainer.step % EVENT_INTERVAL == 0 or trainer.step == trainer.total:
                pace = (trainer.step - first) / (time.perf_counter() - started)
                yield _event(trainer, pace)
            else:
                yield Event("fourd", trainer.step, trainer.total)
    except (GeneratorExit, Paused):
        _save(path, trainer, key)
        raise


def advance(trainer: Trainer, count: int) -> None:
    """Take a step with a number of threads of the kernels, and as many of torch as it keeps busy.

    Without networks, the result does not depend on the number.
    """
    kept_busy = max(1, trainer.pixels // PIXELS_PER_THREAD)
    with threads(count, min(count, torch.get_num_threads(), kept_busy)):
        trainer.advance()


def _event(trainer: Trainer, pace: float) -> Event:
    """Progress with figures, and every preview.INTERVAL steps with a preview."""
    gaussians = len(trainer.model.gaussians)
    metrics = {"loss": trainer.loss.item(), "gaussians": gaussians, "steps_per_second": pace}
    image = None
    if trainer.step % preview.INTERVAL == 0 or trainer.step == trainer.total:
        image, metrics["psnr"] = trainer.preview()
    message = "all frames" if trainer.dynamic else "middle frame"
    return Event("fourd", trainer.step, trainer.total, message, image, metrics)


def _save(path: Path, trainer: Trainer, key: str) -> None:
    with replacing(path) as temporary:
        checkpoint.save(temporary, trainer.state_dict(), trainer.step, key)
