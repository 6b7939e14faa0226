"""Where networks and Gaussians are computed, and how its memory is given back."""

from __future__ import annotations

import gc

import torch

from ..errors import UserError

SMALL_GPU_BYTES = 20e9


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


def is_small(device: torch.device) -> bool:
    """Whether this is a GPU on which the pretrained networks fit only with --low-memory."""
    if device.type != "cuda":
        return False
    return torch.cuda.get_device_properties(device).total_memory < SMALL_GPU_BYTES


def network_dtype(device: torch.device) -> torch.dtype:
    """What pretrained networks are computed in: half precision on a GPU, single on a CPU."""
    return torch.float16 if device.type == "cuda" else torch.float32


def release() -> None:
    """Give the memory of models that nobody holds any more back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def reset_peak_memory() -> None:
    """Begin to watch a stage's memory on the GPU."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, int]:
    """The most memory that was held on the GPU since then, MB; nothing to say without a GPU."""
    if not torch.cuda.is_available():
        return {}
    return {"gpu_peak_memory_mb": round(torch.cuda.max_memory_allocated() / 1e6)}
