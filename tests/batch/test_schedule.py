"""Stages that are lost with their process are repeated, and fail if that happens every time."""

from __future__ import annotations

import os
import signal
import socket
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
    if order.name == "without":
        raise ModuleNotFoundError("No module named 'ds4d'")
    if order.name == "bad" and step == "matting":
        return Outcome("failed", "Nothing moves.", "Film on.")
    return Outcome("done", record={"seconds": 1.0, "engine": "none"})


@pytest.mark.slow
def test_whatever_happens_to_a_stage(tmp_path: Path, monkeypatch):
    import ray

    from ds4d.batch import schedule

    monkeypatch.setattr(schedule, "PAUSE", 0.0)
    names = ("good", "once", "full", "bad", "without", "always")
    ended: list[schedule.Clip] = []
    with cluster.connected("", dashboard=False) as machines:
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
def test_a_cluster_is_reached_as_a_client(tmp_path: Path, monkeypatch):
    import ray
    from ray.cluster_utils import Cluster

    from ds4d.batch import schedule

    monkeypatch.setattr(schedule, "PAUSE", 0.0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nodes = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "ray_client_server_port": port}
    )
    ended: list[schedule.Clip] = []
    try:
        with cluster.connected(f"ray://127.0.0.1:{port}", dashboard=False) as machines:
            assert machines.cpus == 2 and machines.dashboard.startswith("http://127.0.0.1:")
            orders = [Order(name, "a.mp4", Config()) for name in ("once", "bad")]
            work = schedule.Schedule(orders, Runs(str(tmp_path)), machines, 1, ended.extend)
            work.task = ray.remote(stand_in)
            work.run()
    finally:
        nodes.shutdown()
    states = {clip.order.name: clip.outcome.state for clip in ended}
    assert states == {"once": "done", "bad": "failed"} and work.losses == 2  # of `once`


@pytest.mark.slow
def test_tasks_of_a_local_ray_have_the_priority_of_the_command():
    import ray

    with cluster.connected("", dashboard=False) as machines:
        assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)
        assert machines.dashboard == ""
