"""As many threads as other processes leave cores for."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

import numba
import psutil
import pytest
import torch

from ds4d.run import free_cores
from ds4d.run.free_cores import FreeCores, threads


class Machine:
    """Seconds that have passed, and those that other processes have used, as a test says."""

    def __init__(self, monkeypatch):
        self.clock = self.used = 0.0
        monkeypatch.setattr(free_cores, "_seconds", lambda: (self.clock, self.used))
        monkeypatch.setattr(torch, "get_num_threads", lambda: 4)

    def wait(self, seconds: float, others: float) -> None:
        self.clock += seconds
        self.used += seconds * others


def test_a_core_that_others_use_is_left_to_them_until_it_is_free_again(monkeypatch):
    machine = Machine(monkeypatch)
    free = FreeCores()
    assert free.look() == 4
    for others, expected in ((0.2, 4), (1.0, 3), (2.3, 2), (9.0, 1), (0.0, 4)):
        machine.wait(1.0, others)
        assert free.look() == expected, others


def test_a_moment_is_no_reason(monkeypatch):
    machine = Machine(monkeypatch)
    free = FreeCores()
    machine.wait(0.1, 4.0)
    assert free.look() == 4


class Times(NamedTuple):
    """Seconds of one core, as psutil tells them."""

    user: float
    nice: float
    system: float


@pytest.mark.parametrize(("nice", "expected"), [(0, 1 + 3 + 5 + 7 - 4), (5, 1 + 2 + 3 + 18 - 4)])
def test_processes_that_let_this_one_come_first_do_not_count(monkeypatch, nice, expected):
    """Of its cores, those of others count; niced ones as well if it is niced itself."""

    class Process:
        def cpu_affinity(self) -> list[int]:
            return [0, 2]

    times = [Times(1, 2, 3), Times(100, 100, 100), Times(5, 6, 7)]
    monkeypatch.setattr(psutil, "Process", Process)
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: times)
    monkeypatch.setattr(os, "nice", lambda change: nice)
    monkeypatch.setattr(time, "process_time", lambda: 4.0)
    assert free_cores._seconds()[1] == expected


def test_threads_are_given_back():
    before = numba.get_num_threads(), torch.get_num_threads()
    with pytest.raises(RuntimeError), threads(1, 1):
        assert (numba.get_num_threads(), torch.get_num_threads()) == (1, 1)
        raise RuntimeError
    assert (numba.get_num_threads(), torch.get_num_threads()) == before
