"""Timing, linear fits, and a description of the machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import numba
import numpy as np
import torch


def timed(call: Callable[[], object], *, repeats: int, cap: float) -> list[float]:
    """Time several calls after two warm-up calls; seconds.

    Three calls suffice once they have taken `cap` seconds together; none is timed if a single call
    takes that long. The GPU is synchronized before and after each call.
    """
    for _ in range(2):  # the first call may compile
        last = _once(call)
    if last > cap:
        return []
    seconds: list[float] = []
    while len(seconds) < repeats and (len(seconds) < 3 or sum(seconds) < cap):
        seconds.append(_once(call))
    return seconds


def _once(call: Callable[[], object]) -> float:
    synchronize()
    started = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - started


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def median_ms(seconds: Sequence[float]) -> float:
    return round(1e3 * statistics.median(seconds), 4)


def fit(x: Sequence[float], y: Sequence[float]) -> dict[str, float]:
    """Fit a line through the points; R^2 is the explained share of the variance."""
    slope, intercept = np.polyfit(x, y, 1)
    rest = np.square(np.asarray(y) - slope * np.asarray(x) - intercept).sum()
    r2 = 1 - rest / np.square(y - np.mean(y)).sum()
    return {"slope": float(slope), "intercept": float(intercept), "r2": round(float(r2), 5)}


def machine() -> dict[str, str | int]:
    """Describe this machine: processor, cores, threads, GPU, versions."""
    facts = {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if _is_linux() else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "numba_threads": numba.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
    }
    return facts | {name: metadata.version(name) for name in ("torch", "numba")}


def _is_linux() -> bool:
    return platform.system() == "Linux"


def _cpu() -> str:
    if _is_linux():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
