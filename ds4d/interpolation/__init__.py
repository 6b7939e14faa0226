"""Frames between the cut-out frames of a clip, made before the views are."""

from __future__ import annotations

from functools import partial

from ..config import ClipConfig, MachineConfig
from ..run.engines import Engine, check_name, identity, usable
from . import flow
from .flow import between
from .frames import positions

RIFE = "rife-4.6"
RIFE_GPU_GB = 2.0  # GPU memory that it needs; not measured
RIFE_ON_CPU = ("folder", "cache")  # where its weights are, for a CPU to use them

__all__ = ["between", "choose", "positions"]


def choose(config: ClipConfig, machine: MachineConfig) -> Engine:
    """Choose the engine; its run(frames, factor) returns the frames with others in between.

    "auto" takes RIFE where it can run, else optical flow.
    """
    check_name(config.between, "auto", "flow", "rife")
    name, why = config.between, "asked for"
    if name == "auto":
        can_run, why = usable((RIFE,), machine, gpu_gb=RIFE_GPU_GB, cpu_takes=RIFE_ON_CPU)
        name = "rife" if can_run else "flow"
    if name == "flow":
        return Engine("flow", why, flow.run)
    from . import rife

    run = partial(rife.run, machine=machine)
    return Engine("rife", why, run, identity((RIFE,), machine), (RIFE,))
