"""The simulation of benchmarks.capacity beside a real run: forty tiny clips on a Ray of two nodes.

python -m benchmarks.capacity_check [--json benchmarks/results/capacity_check.json]

The seconds of a clip are measured on eight clips; the simulation then predicts when each of forty
others ends, and the real run of these says how far off it is. Exports are left out: the mesh that
moves takes longer than all else at this size.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro

from ds4d.batch import cluster, schedule
from ds4d.batch.orders import Order
from ds4d.batch.runs import Runs

from .capacity import Fleet, Work, simulate
from .tiny import CLIP, TINY

NODES, FIRST, CLIPS = 2, 8, 40


@dataclasses.dataclass(frozen=True)
class Options:
    json: Path | None = None
    """file for the figures"""


def run(count: int, seed: int, machines: cluster.Cluster) -> np.ndarray:
    """Seconds after which each of some clips has ended; all wait from the beginning."""
    with tempfile.TemporaryDirectory() as out:
        orders = [
            Order(f"clip{number}", str(CLIP.absolute()), dataclasses.replace(TINY, seed=number))
            for number in range(seed, seed + count)
        ]
        ends: list[float] = []

        def listen(ended: list[schedule.Clip]) -> None:
            assert all(clip.outcome.state == "done" for clip in ended), ended
            ends.extend([time.perf_counter() - started] * len(ended))

        work = schedule.Schedule(orders, Runs(out), machines, 1, listen)
        started = time.perf_counter()
        work.run()
        return np.array(ends)


def main(options: Options) -> None:
    from ray.cluster_utils import Cluster

    schedule.STEPS = schedule.STEPS[: schedule.STEPS.index("videos") + 1]
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(NODES - 1):
        nodes.add_node(num_cpus=1)
    try:
        with cluster.connected(nodes.address, dashboard=False) as machines:
            machines = dataclasses.replace(machines, local=True)
            run(NODES, 0, machines)  # imports, kernels
            seconds = float(run(FIRST, 100, machines).max()) * NODES / FIRST
            real = run(CLIPS, 200, machines)
    finally:
        nodes.shutdown()
    fleet = Fleet(gpus=0, cores=NODES)
    predicted, _ = simulate(np.zeros(CLIPS), Work(seconds, 0.0, 0.0), fleet)
    figures = {"seconds_of_a_clip": round(seconds, 2)}
    for name, of in (("last", np.max), ("mean", np.mean), ("p95", lambda x: np.percentile(x, 95))):
        told, seen = float(of(predicted)), float(of(real))
        figures[name] = {
            "predicted_s": round(told, 1), "real_s": round(seen, 1),
            "error_percent": round(100 * (told / seen - 1), 1),
        }  # fmt: skip
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
