"""A Ray cluster elsewhere computes a batch for a machine that is not part of it."""

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
    """A stage that ends with its process the first time."""
    note = runs.root / step
    if step == "clip" and not note.exists():
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome("done", record={"seconds": 1.0, "engine": "none"})


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
            orders = [Order(name, "a.mp4", Config()) for name in ("one", "two")]
            work = schedule.Schedule(orders, Runs(str(tmp_path)), machines, 1, ended.extend)
            work.task = ray.remote(stand_in)
            work.run()
    finally:
        nodes.shutdown()
    assert [clip.outcome.state for clip in ended] == ["done", "done"] and 0 < work.losses <= 2
