"""The table of kernels: which module computes an operation on which device.

Each operation has a reference in plain torch, in the package that uses it (ds4d.fourd,
ds4d.guidance). float64 is always computed by the reference, float32 by the kernels of this table.
A device that is missing there has no kernels of its own: torch's operations are what runs, by
design. Where there are kernels, but none for the settings at hand, the reference runs instead, and
a warning says so once.

The rasterizer has a table of its own (ds4d/splatting/rasterize.py): its backends are chosen by
name, and there is no reference to fall back to.
"""

from __future__ import annotations

import functools
import warnings
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from .numba.cache import forget_stale

TABLE = {  # operation: {device: module of this package}
    "deformation": {"cpu": "numba.deformation"},  # from HexPlane and TSSF to the offsets
    "hexplane": {"cuda": "triton.hexplane"},
    "tssf": {"cuda": "triton.tssf"},
    "image losses": {"cpu": "numba.losses"},
    "regularizers": {"cuda": "triton.regularizers"},
    "lpips": {"cuda": "triton.lpips"},
}


def kernels(operation: str, tensor: Tensor, missing: str | None = None) -> ModuleType | None:
    """Return the module of kernels that computes an operation, or None for the torch reference.

    Args:
        operation: a key of TABLE.
        tensor: one of the inputs; its device and dtype decide.
        missing: the setting that the kernels do not support, in words, where there is one.
    """
    device = tensor.device.type
    module = TABLE[operation].get(device)
    if module is None or tensor.dtype != torch.float32:
        return None
    if missing:
        _warn(operation, "CPU" if device == "cpu" else "GPU", missing)
        return None
    return load(module)


@functools.cache
def load(module: str) -> ModuleType:
    """Import a module of this package, "numba.losses"; compiled numba kernels are up to date."""
    if module.startswith("numba."):
        forget_stale()
    return import_module(f".{module}", __package__)


@functools.cache  # once for each operation and reason
def _warn(operation: str, device: str, missing: str) -> None:
    warnings.warn(
        f"The {device} kernels of the {operation} do not support {missing}; "
        "torch computes it instead, which is slower.",
        stacklevel=4,
    )
