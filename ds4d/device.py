"""Where networks and Gaussians are computed, and how its memory is given back."""

from __future__ import annotations

import gc

import torch

from .errors import UserError


def pick(name: str) -> torch.device:
    """The device for "auto", "cuda" or "cpu"; auto is the GPU where there is one.

    Raises:
        UserError: a GPU was asked for that is not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("There is no CUDA GPU here.", "Leave --device out to use what is there.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def network_dtype(device: torch.device) -> torch.dtype:
    """What pretrained networks are computed in: half precision on a GPU, single on a CPU."""
    return torch.float16 if device.type == "cuda" else torch.float32


def release() -> None:
    """Give the memory of models that nobody holds any more back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
