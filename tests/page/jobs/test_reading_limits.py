"""Limits on a worker while it reads a clip, which are lifted afterwards."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Callable

import numpy as np
import pytest

from ds4d.run.events import Event
from page.jobs.reading_limits import limited
from page.limits import Limits

LIMITS = Limits(preflight_gb=0.3, preflight_seconds=0.5)


def take() -> None:
    np.ones(100_000_000).sum()  # 800 MB


def reads_too_much():
    yield Event("clip", 0, 1)
    take()


def uses_much_later():
    yield Event("clip", 1, 1)
    yield Event("matting", 0, 1)
    take()


def never_ends():
    yield Event("clip", 0, 1)
    while True:
        pass


def refused(run: Callable) -> bool:
    """True if a run is refused memory; its limits are as before afterwards."""
    before = [resource.getrlimit(kind) for kind in (resource.RLIMIT_DATA, resource.RLIMIT_CPU)]
    try:
        list(limited(run, LIMITS))
    except MemoryError:
        return True
    finally:
        assert before == [
            resource.getrlimit(kind) for kind in (resource.RLIMIT_DATA, resource.RLIMIT_CPU)
        ]
    return False


@pytest.fixture(scope="module")
def process():
    """A process of its own, whose limits are nobody else's."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


def test_memory_is_refused_while_the_clip_is_read(process):
    assert process.apply(refused, (reads_too_much,))


def test_later_stages_have_no_such_limit(process):
    assert not process.apply(refused, (uses_much_later,))


def test_a_decoder_that_does_not_end_is_ended():
    begun = multiprocessing.get_context("spawn").Process(target=refused, args=(never_ends,))
    begun.start()
    begun.join(60)
    assert begun.exitcode == -signal.SIGXCPU
