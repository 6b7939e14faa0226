"""Threads for work whose threads wait for each other: as many as there are cores that are free."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import numba
import psutil
import torch

from .hardware import cores

INTERVAL = 0.5  # seconds between two looks at what other processes do


class FreeCores:
    """Number of threads of the kernels, as far as other processes leave cores free for them.

    Each piece of a step waits for its last thread. On a core that another process uses as well, a
    thread runs for half of the time, so that without it the others are done sooner. Processes
    that let this one come first (`nice`) do not count.
    """

    def __init__(self):
        self.most = self.threads = numba.get_num_threads()
        self._before = _seconds()

    def look(self) -> int:
        """The number of threads, 1 to as many as numba had at the start."""
        passed = time.monotonic() - self._before[0]
        if self.most > 1 and passed >= INTERVAL:
            now = _seconds()
            others = (now[1] - self._before[1]) / (now[0] - self._before[0])
            self.threads = min(max(round(cores() - others), 1), self.most)
            self._before = now
        return self.threads


def _seconds() -> tuple[float, float]:
    """Seconds that have passed, and those that other processes have used the cores of this one.

    The latter are 0 where the system does not tell them.
    """
    yielding = os.nice(0) > 0  # then niced processes compete with this one
    own = set(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else None
    try:
        each = psutil.cpu_times(percpu=True)
    except OSError:
        return time.monotonic(), 0.0
    used = 0.0
    for core, times in enumerate(each):
        if own is None or core in own:
            used += times.user + times.system + (getattr(times, "nice", 0.0) if yielding else 0.0)
    return time.monotonic(), used - time.process_time()


@contextlib.contextmanager
def threads(count: int, torchs: int) -> Iterator[None]:
    """Within it, kernels use `count` threads and torch `torchs`."""
    before = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    torch.set_num_threads(torchs)
    try:
        yield
    finally:
        numba.set_num_threads(before[0])
        torch.set_num_threads(before[1])
