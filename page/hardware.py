"""The hardware that runs are computed on, found without importing torch."""

from __future__ import annotations

from ds4d.config import MachineConfig
from ds4d.run.hardware import cores, gpu_name
from ds4d.weights import find

__all__ = ["cores", "gpu_name", "runs_zero123plus"]


def runs_zero123plus() -> bool:
    """True if Zero123++ generates the six views here: on a GPU, or from a folder of weights."""
    folder = MachineConfig().weights
    return bool(gpu_name()) or bool(folder and find("zero123plus-v1.2", folder).where == "folder")
