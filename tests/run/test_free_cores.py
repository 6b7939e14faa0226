"""Threads for the cores that other processes leave free."""

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

    def __init__(self, monkeypatch, cores: int = 4, most: int = 4):
        self.clock = self.used = 0.0
        monkeypatch.setattr(free_cores, "_seconds", lambda: (self.clock, self.used))
        monkeypatch.setattr(free_cores, "cores", lambda: cores)
        monkeypatch.setattr(time, "monotonic", lambda: self.clock)
        monkeypatch.setattr(numba, "get_num_threads", lambda: most)

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


def test_a_share_of_a_large_machine_stays_while_there_is_room_for_it(monkeypatch):
    machine = Machine(monkeypatch, cores=16, most=4)
    free = FreeCores()
    for others, expected in ((12.0, 4), (14.0, 2), (3.0, 4)):
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
    """Seconds of others on its cores; of niced ones as well if it is niced itself."""

    class Process:
        def cpu_affinity(self) -> list[int]:
            return [0, 2]

    times = [Times(1, 2, 3), Times(100, 100, 100), Times(5, 6, 7)]
    monkeypatch.setattr(psutil, "Process", Process)
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: times)
    monkeypatch.setattr(os, "nice", lambda change: nice)
    monkeypatch.setattr(time, "process_time", lambda: 4.0)
    assert free_cores._seconds()[1] == expected


def test_a_system_that_does_not_tell_costs_no_thread(monkeypatch):
    def refuse(percpu):
        raise PermissionError("/proc/stat")

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    monkeypatch.setattr(free_cores, "INTERVAL", 0.0)
    free = FreeCores()
    assert free.look() == free.most == numba.get_num_threads()


def test_threads_are_given_back():
    before = numba.get_num_threads(), torch.get_num_threads()
    with pytest.raises(RuntimeError), threads(1, 1):
        assert (numba.get_num_threads(), torch.get_num_threads()) == (1, 1)
        raise RuntimeError
    assert (numba.get_num_threads(), torch.get_num_threads()) == before
