"""Multiview stage: RGBA frames -> the front view and further views of each frame."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ..clip import Clip
from ..config import MachineConfig, MultiviewConfig
from ..errors import UserError
from ..run.engines import Engine, check_name, identity, usable
from ..run.events import Stage
from .views import Matte, Views

ZERO123PLUS_GB, ZERO123PLUS_LOW_GB = 8.0, 6.0  # GPU memory that Zero123++ needs


def given_views(source: Path, config: MultiviewConfig) -> bool:
    """True if the views come from the source itself; raises as `choose` does."""
    from . import capture, given

    if capture.find(source, config) is not None:
        return True
    return config.engine in ("auto", "given") and given.find(source, config.views) is not None


def choose(
    config: MultiviewConfig,
    machine: MachineConfig,
    source: Path,  # the input that the clip was read from
    clip: Clip,
    seed: int,
    matte: Matte,
) -> Engine:
    """Choose the engine; its run(frames [T, S, S, 4], size) returns Views.

    The cameras of a multi-camera capture are used as they are. Otherwise "auto" prefers, in this
    order: the views in a prepared folder; Zero123++, where it can run; the shape prior, for which
    the front camera of a prepared folder is used.

    Args:
        matte: mattes generated views [T, H, W, 3] with the engine that matted the clip.

    Raises:
        UserError: views were requested that the source does not contain.
    """
    from . import capture, given

    recording = capture.find(source, config)
    if recording is not None:
        why = f"{len(recording)} real cameras"
        return Engine("given", why, partial(capture.run, recording, clip))
    prepared = given.find(source, config.views)
    if config.engine == "given" and prepared is None:
        raise UserError(
            f"{source.name} contains no views.", "Choose the engine auto: it makes the views."
        )
    if config.engine in ("auto", "given") and prepared is not None:
        run = partial(given.run, prepared, config.views, clip)
        return Engine("given", f"the views in {prepared.views_folder(config.views).name}", run)
    weights = (f"zero123plus-{config.version}", *(("instantmesh-unet",) if config.white else ()))
    can_run, why = config.engine == "zero123plus", "asked for"
    if config.engine == "auto":
        gpu_gb = ZERO123PLUS_LOW_GB if machine.low_memory else ZERO123PLUS_GB
        can_run, why = usable(weights, machine, gpu_gb=gpu_gb)
    if can_run:
        from .zero123plus import engine as zero123plus

        run = partial(zero123plus.run, config=config, machine=machine, seed=seed, matte=matte)
        made_from = (*identity(weights, machine), f"seed {seed}")
        return Engine("zero123plus", why, run, made_from, weights)

    check_name(config.engine, "auto", "inflate")
    from .inflate import engine as inflate
    from .shape_prior.weights import fingerprint

    def inflated(frames: np.ndarray, size: int) -> Stage[Views]:
        front = given.front_camera(source, size)
        return inflate.run(frames, front, size, slant=config.slant, depth=config.depth)

    why = why if config.engine == "inflate" else f"no views; {why}"
    return Engine("inflate", why, inflated, (f"shape prior {fingerprint()}",), formerly_from=())
