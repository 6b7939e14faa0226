"""Stages that are lost with their process are repeated, and fail if that happens every time."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ds4d.batch import cluster
from ds4d.batch.orders import Order
from ds4d.batch.runs import Runs
from ds4d.batch.tasks import Outcome
from ds4d.config import Config


def stand_in(order: Order, runs: Runs, step: str, threads: int) -> Outcome:
    """A stage that ends with its process the first time, or always, as the clip's name says."""
    path = runs.root / f"{order.name} {step}"
    first = not path.exists()
    path.touch()
    if order.name == "always" or (order.name == "once" and step in ("clip", "fourd") and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if order.name == "full" and first:
        return Outcome("again", "The disk is full.")
    if order.name == "bad" and step == "matting":
        return Outcome("failed", "Nothing moves.", "Film on.")
    return Outcome("done", record={"seconds": 1.0, "engine": "none"})


@pytest.mark.slow
def test_whatever_happens_to_a_stage(tmp_path: Path, monkeypatch):
    import ray

    from ds4d.batch import schedule

    monkeypatch.setattr(schedule, "PAUSE", 0.0)
    names = ("good", "once", "full", "bad", "always")
    ended: list[schedule.Clip] = []
    with cluster.connected("", dashboard=False) as machines:
        orders = [Order(name, "a.mp4", Config()) for name in names]
        work = schedule.Schedule(orders, Runs(str(tmp_path)), machines, 1, ended.extend)
        work.task = ray.remote(stand_in)
        work.run()
    found = {clip.order.name: clip for clip in ended}
    states = {name: found[name].outcome.state for name in names}
    assert states == {
        "good": "done", "once": "done", "full": "done", "bad": "failed", "always": "again",
    }  # fmt: skip
    assert found["bad"].stage == "matting" and found["bad"].outcome.sentence == "Nothing moves."
    assert found["always"].stage == "clip" and "again and again" in found["always"].outcome.sentence
    assert found["good"].seconds["fourd"] == 1.0 and found["good"].engines["mesh"] == "none"
    # Two of `once`, nine of `full`, four of `always`.
    assert work.losses == 2 + 9 + 4
