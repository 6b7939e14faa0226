"""Clips that share one GPU: fits an hour, seconds and memory with one, two, four, eight at a time.

    python -m benchmarks.sharing [--at-a-time 1 2 4 8] [--json benchmarks/results/sharing.json]
    python -m benchmarks.sharing --networks random

A fit is everything of a clip that asks for a GPU, from mattes to the 4D optimization, as a task of
`batch` computes it: with one thread, in a process that has imported everything. The first fit of
all, which compiles kernels, and a tiny one of each process are not counted. `--networks random`
runs the pretrained engines at their published sizes with random weights (benchmarks.chain). Without
a GPU, processes share the CPU instead.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
import tyro

from ds4d.batch.cluster import ON_GPU
from ds4d.batch.orders import Order
from ds4d.batch.runs import Runs
from ds4d.batch.tasks import compute
from ds4d.config import Config
from ds4d.pipeline import warm_up

from .chain import random_networks
from .chain.one_run import CLIPS
from .chain.report import lines
from .speed.measure import machine

LIMIT = 300.0  # seconds for all processes to begin
SAMPLE = 0.5  # seconds between two looks at the memory
GPU = "nvidia-smi --id=0 --query-gpu=memory.used,utilization.gpu --format=csv,noheader,nounits"


@dataclasses.dataclass(frozen=True)
class Options:
    at_a_time: tuple[int, ...] = (1, 2, 4, 8)
    """numbers of fits at a time"""
    rounds: int = 1
    """fits of each process, one after the other"""
    clip: Path = CLIPS / "frog.mp4"
    """clip of the fits"""
    networks: Literal["as-installed", "random", "tiny"] = "as-installed"
    """pretrained networks: those that a user would get here, or random weights of their published
    sizes (on a GPU) or of tiny ones (to try the program)"""
    folder: Path = Path(tempfile.gettempdir()) / "ds4d-random"
    """folder for random weights and for the views that they cannot draw, reused later"""
    json: Path | None = None
    """file for the figures; those of other machines, clips, networks and numbers in it are kept"""


def begin(drawn: Path | None, everybody: multiprocessing.Barrier) -> None:
    """Prepare a process of the pool."""
    global ready
    ready = everybody
    if drawn is not None:
        random_networks.exchange_views(drawn)


def warm(order: Order) -> None:
    """Import everything and begin with the GPU; returns when all processes have."""
    small = dataclasses.replace(order, config=warm_up.tiny(order.config))
    fit(small)
    ready.wait(LIMIT)


def fit(order: Order) -> dict[str, float]:
    """Seconds of the stages of a fit."""
    with tempfile.TemporaryDirectory() as out:
        outcome = compute(order, Runs(out), ON_GPU[-1], threads=1)
        assert outcome.state == "done", outcome
        stages = json.loads((Path(out) / order.name / "run.json").read_text())["stages"]
    return {stage: stages[stage]["seconds"] for stage in ON_GPU}


def share(order: Order, drawn: Path | None, count: int, rounds: int) -> dict:
    """Figures of some processes that compute fits at a time."""
    context = multiprocessing.get_context("spawn")  # a GPU does not survive a fork
    orders = [
        dataclasses.replace(order, config=dataclasses.replace(order.config, seed=seed))
        for seed in range(count * rounds)
    ]
    with concurrent.futures.ProcessPoolExecutor(
        count, context, begin, (drawn, context.Barrier(count))
    ) as pool:
        list(pool.map(warm, orders[:count]))
        with watched() as seen:
            started = time.perf_counter()
            fits = list(pool.map(fit, orders))
            seconds = time.perf_counter() - started
    stages = {s: round(statistics.median(each[s] for each in fits), 2) for s in ON_GPU}
    alone = statistics.median(sum(each.values()) for each in fits)
    return {
        "at_a_time": count, "fits": len(fits), "seconds": round(seconds, 1),
        "fits_an_hour": round(3600 * len(fits) / seconds, 1), "seconds_of_a_fit": round(alone, 1),
        "stages": stages, **seen,
    }  # fmt: skip


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """The most memory of this program's processes, and of the GPU, GB, and the GPU's mean busy
    share, which are there when the block has ended."""
    found: dict[str, float] = {"memory_gb": 0.0}
    busy: list[float] = []
    end = threading.Event()

    def look() -> None:
        while not end.wait(SAMPLE):
            used = sum(child.memory_info().rss for child in psutil.Process().children(True))
            found["memory_gb"] = max(found["memory_gb"], round(used / 1e9, 2))
            if shutil.which("nvidia-smi"):
                printed = subprocess.run(
                    GPU.split(), capture_output=True, text=True, check=True
                ).stdout
                megabytes, percent = map(float, printed.splitlines()[0].split(","))
                most = max(found.get("gpu_memory_gb", 0.0), megabytes / 1e3)
                busy.append(percent / 100)
                found.update(gpu_memory_gb=round(most, 2), gpu_busy=round(sum(busy) / len(busy), 2))

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield found
    finally:
        end.set()
        watch.join()


def save(file: Path, row: dict) -> None:
    """Put a row in the place of an earlier one of the same machine, clip, networks and number."""
    rows = json.loads(file.read_text()) if file.exists() else []
    same = ("gpu", "cpu", "clip", "preset", "networks", "at_a_time")
    rows = [other for other in rows if any(other[name] != row[name] for name in same)]
    file.write_text(lines([*rows, row]))


def main(options: Options, more: list[str]) -> None:
    """Measure and print; `more` are options of `generate`."""
    drawn = None
    if options.networks != "as-installed":
        drawn = random_networks.draw(options.clip, options.folder / options.clip.stem, more)
        more = [*random_networks.prepare(options.networks, options.folder), *more]
    config = tyro.cli(Config, args=more)
    order = Order("fit", str(options.clip.absolute()), config)
    facts = machine()
    what = {name: facts[name] for name in ("gpu", "cpu", "cores", "torch")} | {
        "clip": options.clip.name, "preset": config.preset, "networks": options.networks,
    }  # fmt: skip
    share(order, drawn, 1, 1)  # compiles
    for count in options.at_a_time:
        row = what | share(order, drawn, count, options.rounds)
        print(json.dumps(row), flush=True)
        if options.json:
            save(options.json, row)


if __name__ == "__main__":
    # As in tasks of `batch`; torch and numba read it when they are imported.
    os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    main(*tyro.cli(Options, description=__doc__, return_unknown_args=True))
