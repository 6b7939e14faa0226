"""The hardware that runs are computed on, found without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache


@cache
def gpu_name() -> str:
    """Name of the GPU; empty on a machine without one. Not asked of torch, which loads slowly."""
    if os.environ.get("SPACES_ZERO_GPU"):
        return "an RTX PRO 6000 (ZeroGPU)"
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    query = subprocess.run(
        [program, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True
    )
    return query.stdout.splitlines()[0].strip() if query.returncode == 0 and query.stdout else ""


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
