"""The device on which networks and Gaussians are computed, and its memory."""

from __future__ import annotations

import gc

import torch

from ..errors import UserError

SMALL_GPU_BYTES = 20e9


def pick(name: str) -> torch.device:
    """The device for "auto", "cuda" or "cpu"; auto is the GPU where there is one.

    Raises:
        UserError: a GPU was requested, and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("There is no CUDA GPU here.", "Leave out --device to use the CPU.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def is_small(device: torch.device) -> bool:
    """True for a GPU on which the pretrained networks fit only with --low-memory."""
    if device.type != "cuda":
        return False
    return torch.cuda.get_device_properties(device).total_memory < SMALL_GPU_BYTES


def network_dtype(device: torch.device) -> torch.dtype:
    """Precision of pretrained networks: half on a GPU, single on a CPU."""
    return torch.float16 if device.type == "cuda" else torch.float32


def release() -> None:
    """Return the memory of unreferenced models to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def reset_peak_memory() -> None:
    """Start measuring a stage's peak memory on the GPU."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, int]:
    """Peak GPU memory since `reset_peak_memory`, MB; empty without a GPU."""
    if not torch.cuda.is_available():
        return {}
    return {"gpu_peak_memory_mb": round(torch.cuda.max_memory_allocated() / 1e6)}
