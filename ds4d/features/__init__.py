"""Views -> a map of feature vectors per view, by one of several engines."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..config import FeaturesConfig, MachineConfig
from ..run.engines import Engine, identity, usable

DINOV2_GB = 3.0  # of a GPU's memory


def choose(config: FeaturesConfig, machine: MachineConfig) -> Engine:
    """The engine; its run(images [T, V, S, S, 4]) returns features [T, V, h, w, D].

    "auto" takes DINOv2 where it can run, else the descriptors.
    """
    weights = (f"dinov2-{config.model}",)
    fine, why = config.engine == "dinov2", "asked for"
    if config.engine == "auto":
        fine, why = usable(weights, machine, gpu_gb=DINOV2_GB)
    if fine:
        from . import dinov2

        run = partial(dinov2.run, model=config.model, machine=machine)
        return Engine("dinov2", why, run, identity(weights, machine), weights)
    from . import descriptors

    return Engine("descriptors", why, partial(descriptors.run, grid=config.grid))


def save(path: Path, features: Tensor) -> None:
    """Write features [T, V, h, w, D] in half precision."""
    from safetensors.torch import save_file

    save_file({"features": features.to(torch.float16).contiguous()}, path)


def load(path: Path) -> Tensor:
    """Features [T, V, h, w, D] float32 that `save` wrote."""
    from safetensors.torch import load_file

    return load_file(path)["features"].float()
