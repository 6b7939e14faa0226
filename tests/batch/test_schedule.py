"""Stages that are lost with their process are repeated, and fail if that happens every time."""

from __future__ import annotations

import os
import signal
import time
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
    if order.name == "long":
        try:
            path.touch()  # from here on, it may be interrupted
            while True:
                time.sleep(0.05)
        finally:  # Ray repeats an interrupt that has not ended the task after two seconds
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            path.write_text("closed")
            signal.signal(signal.SIGINT, before)
    first = not path.exists()
    path.touch()
    if order.name == "always" or (order.name == "once" and step in ("clip", "fourd") and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if order.name == "full" and first:
        return Outcome("again", "The disk is full.")
    if order.name == "without":
        raise ModuleNotFoundError("No module named 'ds4d'")
    if order.name == "bad" and step == "matting":
        return Outcome("failed", "Nothing moves.", "Film on.")
    return Outcome("done", record={"seconds": 1.0, "engine": "none"})


@pytest.fixture(scope="module")
def machines():
    """A local Ray."""
    with cluster.connected("", dashboard=False) as machines:
        yield machines


@pytest.mark.slow
def test_whatever_happens_to_a_stage(tmp_path: Path, monkeypatch, machines):
    import ray

    from ds4d.batch import schedule

    monkeypatch.setattr(schedule, "PAUSE", 0.0)
    names = ("good", "once", "full", "bad", "without", "always")
    ended: list[schedule.Clip] = []
    orders = [Order(name, "a.mp4", Config()) for name in names]
    work = schedule.Schedule(orders, Runs(str(tmp_path)), machines, 1, ended.extend)
    work.task = ray.remote(stand_in)
    work.run()
    found = {clip.order.name: clip for clip in ended}
    states = {name: found[name].outcome.state for name in names}
    assert states == {
        "good": "done", "once": "done", "full": "done", "bad": "failed", "without": "failed",
        "always": "again",
    }  # fmt: skip
    assert found["bad"].stage == "matting" and found["bad"].outcome.sentence == "Nothing moves."
    assert "No module named" in found["without"].outcome.sentence
    assert found["always"].stage == "clip" and "again and again" in found["always"].outcome.sentence
    assert found["good"].seconds["fourd"] == 1.0 and found["good"].engines["mesh"] == "none"
    # Two of `once`, nine of `full`, four of `always`.
    assert work.losses == 2 + 9 + 4


@pytest.mark.slow
def test_an_interrupt_ends_the_tasks_and_is_raised_again(tmp_path: Path, machines):
    import ray

    from ds4d.batch import schedule

    def listen(ended: list[schedule.Clip]) -> None:
        if (tmp_path / "long clip").exists():
            raise KeyboardInterrupt

    orders = [Order("long", "a.mp4", Config())]
    work = schedule.Schedule(orders, Runs(str(tmp_path)), machines, 1, listen)
    work.task = ray.remote(stand_in)
    with pytest.raises(KeyboardInterrupt):
        work.run()
    assert (tmp_path / "long clip").read_text() == "closed"


@pytest.mark.slow
def test_tasks_of_a_local_ray_have_the_priority_of_the_command(machines):
    import ray

    assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)
    assert machines.dashboard == ""
