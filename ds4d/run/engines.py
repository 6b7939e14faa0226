"""What every stage with several engines answers: who does the work here, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..config import MachineConfig


@dataclass(frozen=True)
class Engine:
    """An engine that was chosen for a stage, ready to run.

    Engines load their weights when they run, and have let go of them when they return.
    """

    name: str  # as in the config
    why: str  # plain words
    run: Callable  # the stage's own arguments -> a generator of events that returns the result
    made_from: tuple[str, ...] = ()  # files, seed: what beside the settings decides the result
    weights: tuple[str, ...] = ()  # in the catalogue; on this machine before it runs


def usable(
    weights: tuple[str, ...],  # names in the catalogue
    machine: MachineConfig,
    *,
    gpu_gb: float,  # memory that the network takes there
    cached_on_cpu: bool = False,  # whether a CPU bears it, so that weights in a cache will do
) -> tuple[bool, str]:
    """Whether "auto" takes a pretrained engine here, and why or why not.

    On a GPU that is large enough: when its weights are on the disk, or the hub can be reached. On a
    CPU, where such networks take minutes to hours: when the person gave a folder that holds them.
    """
    from ..weights import find
    from .device import pick  # brings torch, which mattes without a network do not need

    device = pick(machine.device)
    if device.type == "cuda":
        import torch

        memory = torch.cuda.get_device_properties(device).total_memory / 1e9
        if memory < gpu_gb:
            return False, f"the GPU has {memory:.0f} GB, the pretrained network needs {gpu_gb:g}"
    fine = {"cuda": ("folder", "cache", "hub"), "cpu": ("folder",)}[device.type]
    if cached_on_cpu:
        fine += ("cache",)
    for name in weights:
        found = find(name, machine.weights)
        if found.where == "missing":
            return False, f"weights of {name}: {found.message}"
        if found.where not in fine:
            return False, "no GPU is here for the pretrained network"
    return True, f"its weights are there, on {device.type}"


def identity(weights: tuple[str, ...], machine: MachineConfig) -> tuple[str, ...]:
    """Which weights these are, for the key of what is made with them.

    A person's own folder stands for its path and the sizes of its files.
    """
    from ..weights import CATALOGUE, find

    names = []
    for name in weights:
        found = find(name, machine.weights)
        if found.where == "folder":
            files = sorted(p for p in found.path.rglob("*") if p.is_file()) or [found.path]
            names.append(f"{found.path}: {[file.stat().st_size for file in files]}")
        else:
            names.append(f"{name}@{CATALOGUE[name].revision}")
    return tuple(names)
