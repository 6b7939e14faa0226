"""Matting: the opacity of the object in every frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..config import MachineConfig, MattingConfig
from ..errors import UserError
from ..run.engines import Engine, check_name, identity, usable
from ..run.events import Stage
from . import alpha, classical, corrections

REMBG_GPU_GB = 3.0
REMBG_ON_CPU = ("folder", "cache")  # where its weights are, for a CPU to use them


def choose(
    config: MattingConfig,
    machine: MachineConfig,
    frames: np.ndarray,  # [T, H, W, 3 or 4] uint8
    cache: Path | None = None,  # folder for the mattes of single frames
) -> Engine:
    """Choose the engine for these frames; its run(frames, strokes) returns mattes [T, H, W] uint8.

    "auto" keeps an alpha channel that is there, else takes rembg where it can run, else the
    classical engine. SAM 2 goes on from the mattes of "auto".

    Raises:
        UserError: "alpha" for frames that have no alpha channel to speak of.
    """
    if config.engine == "sam2":
        first = _first(replace(config, engine="auto"), machine, frames, cache)
        return _sam2(first, machine)
    engine = _first(config, machine, frames, cache)
    return replace(engine, run=partial(_corrected, engine.run))


def _corrected(
    run: Callable[[np.ndarray], Stage[np.ndarray]],
    frames: np.ndarray,  # [T, H, W, 3 or 4] uint8
    strokes: dict[int, np.ndarray],  # frame -> [H, W] int8, as `corrections.read` returns them
) -> Stage[np.ndarray]:
    """Mattes [T, H, W] uint8 of an engine that knows no strokes, corrected by them."""
    alphas = yield from run(frames)
    return (yield from corrections.run(frames, alphas, strokes))


def _sam2(first: Engine, machine: MachineConfig) -> Engine:
    from . import sam2

    run = partial(sam2.run, first=first.run, machine=machine)
    weights = (sam2.WEIGHTS,)
    made_from = (*identity(weights, machine), first.name, *first.made_from)
    why = f"asked for; first mattes: {first.message}"
    return Engine("sam2", why, run, made_from, (*weights, *first.weights))


def _first(
    config: MattingConfig, machine: MachineConfig, frames: np.ndarray, cache: Path | None
) -> Engine:
    """The engine whose run(frames) returns mattes without strokes."""
    has_alpha = alpha.usable(frames)
    if config.engine == "alpha" and not has_alpha:
        raise UserError(
            "The clip has no transparent background.",
            "Choose the engine auto: it cuts the object out.",
        )
    if config.engine in ("auto", "alpha") and has_alpha:
        return Engine("alpha", "the clip has a transparent background", alpha.run)
    if config.engine == "classical":
        return Engine("classical", "asked for", classical.run)
    weights = (f"rembg-{config.model}",)
    available, why = True, "asked for"
    check_name(config.engine, "auto", "rembg")
    if config.engine == "auto":
        available, why = usable(weights, machine, gpu_gb=REMBG_GPU_GB, cpu_takes=REMBG_ON_CPU)
    if not available:
        return Engine("classical", f"the clip has no alpha channel; {why}", classical.run)
    from . import rembg

    run = partial(rembg.run, model=config.model, machine=machine, cache=cache)
    return Engine("rembg", why, run, identity(weights, machine), weights)
