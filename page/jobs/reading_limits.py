"""Limits on what a worker may use while it reads the clip of its job.

A file that makes a decoder take more ends that job alone: the system refuses the memory, or ends
the process when its time is up.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing

import psutil

from ds4d.run.events import Event
from ds4d.run.hardware import cores

from ..limits import Limits


def limited(
    run: Callable[[], Generator[Event, None, None]], limits: Limits
) -> Generator[Event, None, None]:
    """The events of a run. Until the clip is read, it may use as much memory and time as the
    preflight, on each core, beside what this process has used already."""
    memory = getattr(psutil.Process().memory_info(), "data", None)  # not on every system
    seconds = time.process_time() + limits.preflight_seconds * cores()
    with ExitStack() as lowered, closing(run()) as events:
        lowered.callback(_lower(resource.RLIMIT_CPU, seconds))
        if memory is not None:
            lowered.callback(_lower(resource.RLIMIT_DATA, memory + limits.preflight_gb * 1e9))
        for event in events:
            if event.stage != "clip":
                lowered.close()
            yield event


def _lower(kind: int, value: float) -> Callable[[], None]:
    """Lower a limit of this process, which the returned function puts back."""
    before = resource.getrlimit(kind)
    known = [limit for limit in before if limit != resource.RLIM_INFINITY]
    resource.setrlimit(kind, (min(round(value), *known) if known else round(value), before[1]))
    return lambda: resource.setrlimit(kind, before)
