"""Clips an hour of `batch` on this machine: one thread for each of many clips, or more for fewer.

python -m benchmarks.batch [--rounds 2] [--json benchmarks/results/batch.json]

The alternatives are timed in turn, on the same two bundled clips, from an empty folder; the time of
starting Ray, some seconds, is left out: a batch of hundreds of clips starts it once.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path

import tyro

from ds4d.batch import cluster, orders
from ds4d.batch.runs import Runs
from ds4d.batch.schedule import Schedule
from ds4d.config import ClipConfig, Config, FourdConfig

from .speed.measure import machine

CLIPS = ("examples/clips/frog.mp4", "examples/clips/cactus.mp4")
# Half of the frames and a ninth of the steps of preview: a minute a clip.
SHORT = Config(
    clip=ClipConfig(frames=12), fourd=FourdConfig(static_iterations=40, dynamic_iterations=200)
)


@dataclasses.dataclass(frozen=True)
class Options:
    rounds: int = 2
    """times that each alternative is timed"""
    threads: tuple[int, ...] = (1, 2)
    """alternatives"""
    json: Path | None = None
    """file for the figures"""


def seconds(threads: int) -> dict[str, float]:
    """Seconds of all clips with a number of threads each, and of the stages together."""
    with tempfile.TemporaryDirectory() as out, cluster.connected("", dashboard=False) as machines:
        work = orders.collect(CLIPS, SHORT, {})
        stages: dict[str, float] = {}

        def listen(ended: list) -> None:
            for clip in ended:
                assert clip.outcome.state == "done", clip.outcome
                for stage, taken in clip.seconds.items():
                    stages[stage] = round(stages.get(stage, 0.0) + taken, 2)

        schedule = Schedule(work, Runs(out), machines, threads, listen)
        started = time.perf_counter()
        schedule.run()
        return {"all": round(time.perf_counter() - started, 1), **stages}


def main(options: Options) -> None:
    rows: dict[str, list[dict[str, float]]] = {str(count): [] for count in options.threads}
    for _ in range(options.rounds):
        for count in options.threads:
            rows[str(count)].append(seconds(count))
            print(count, "threads:", rows[str(count)][-1], flush=True)
    hourly = {
        count: round(3600 * len(CLIPS) / statistics.median(row["all"] for row in times))
        for count, times in rows.items()
    }
    figures = {"machine": machine(), "clips_an_hour_by_threads": hourly, "seconds": rows}
    print(json.dumps(hourly, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
