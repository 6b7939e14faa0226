"""Features stage: views -> a map of feature vectors per view, by one of several engines."""

from __future__ import annotations

from functools import partial

from ..config import FeaturesConfig, MachineConfig
from ..run.engines import Engine, check_name, identity, usable

DINOV2_GB = 3.0  # GPU memory that DINOv2 needs


def choose(config: FeaturesConfig, machine: MachineConfig) -> Engine:
    """Choose the engine; its run(images [T, V, S, S, 4]) returns features [T, V, h, w, D].

    "auto" prefers DINOv2 where it can run, and falls back to hand-crafted descriptors.
    """
    weights = (f"dinov2-{config.model}",)
    can_run, why = config.engine == "dinov2", "asked for"
    if config.engine == "auto":
        can_run, why = usable(weights, machine, gpu_gb=DINOV2_GB)
    if can_run:
        from . import dinov2

        run = partial(dinov2.run, model=config.model, machine=machine)
        return Engine("dinov2", why, run, identity(weights, machine), weights)
    check_name(config.engine, "auto", "descriptors")
    from . import descriptors

    return Engine("descriptors", why, partial(descriptors.run, grid=config.grid))
