"""The simulation of capacity agrees with queues whose waits are known."""

from __future__ import annotations

import json

import numpy as np

from benchmarks import capacity, sharing
from benchmarks.capacity import Fleet, Work, simulate, station


def test_clips_that_come_together_are_done_in_turns():
    assert station(np.zeros(4), np.full(4, 10.0), 2).tolist() == [10, 10, 20, 20]
    assert station(np.array([0.0, 5.0, 30.0]), np.full(3, 10.0), 1).tolist() == [10, 20, 40]


def test_waits_of_a_queue_with_one_place_are_those_of_theory(monkeypatch):
    """M/D/1: the mean wait is rho / (2 (1 - rho)) services (Pollaczek and Khinchine)."""
    monkeypatch.setattr(capacity, "SPREAD", 0.0)
    generator = np.random.default_rng(1)
    times, rho = generator.exponential(1.0, 200_000).cumsum(), 0.7
    _, waits = simulate(times, Work(0.0, rho, 0.0), Fleet(gpus=1, cores=1))
    assert abs(waits.mean() / (rho * rho / (2 * (1 - rho))) - 1) < 0.05


def test_a_day_has_as_many_clips_as_were_asked_for():
    times = capacity.arrivals(20_000, np.random.default_rng(0))
    assert abs(len(times) - 20_000) < 600 and (np.diff(times) >= 0).all()
    by_hour = np.histogram(times / 3600, 24, (0, 24))[0]
    assert by_hour[14] > 3 * by_hour[3]


def test_a_smaller_fleet_than_needed_would_not_do():
    work = Work(1.0, 60.0, 20.0)
    best, wait = capacity.needed(1000, work, Fleet(0, 0))
    assert wait < capacity.WAIT
    fewer = capacity.p95(1000, work, Fleet(best.gpus - 1, best.cores))
    assert fewer > capacity.WAIT or best.gpus == 1


def test_losses_cost_time_and_sharing_saves_it():
    times, work = capacity.arrivals(1000, np.random.default_rng(0)), Work(0.0, 60.0, 0.0)
    alone, _ = simulate(times, work, Fleet(gpus=2, cores=1))
    spot, _ = simulate(times, work, Fleet(gpus=2, cores=1, lost_per_hour=0.5))
    shared, _ = simulate(times, work, Fleet(gpus=2, cores=1, slots=4))
    assert shared.mean() < alone.mean() < spot.mean()


def test_sharing_is_as_slow_as_was_measured_and_otherwise_bounded(tmp_path):
    """Eight at a time give less than four, so four share a GPU: 1.6 times as many fits in all."""
    common = {"cpu": "x", "clip": "frog.mp4", "preset": "preview", "networks": "random"}
    for gpu, at_a_time, hourly in (
        ("none", 1, 9.0), ("NVIDIA H200", 4, 1.0), ("NVIDIA H200", 1, 50.0),
        ("NVIDIA H200", 4, 80.0), ("NVIDIA H200", 8, 70.0),
    ):  # fmt: skip
        row = {"gpu": gpu, "at_a_time": at_a_time, "fits_an_hour": hourly, **common}
        sharing.save(tmp_path / "sharing.json", row)
    rows = json.loads((tmp_path / "sharing.json").read_text())
    assert len(rows) == 4  # the second measurement of four replaced the first
    (shared,) = (fleet for fleet in capacity.ways("H200", rows).values() if fleet.slots > 1)
    assert (shared.slots, shared.slowdown) == (4, 2.5)
    bounds = [fleet.slowdown for fleet in capacity.ways("A100", rows).values() if fleet.slots > 1]
    assert bounds == [1.0, 3.0]
