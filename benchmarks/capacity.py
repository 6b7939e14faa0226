"""GPUs for many visitors: a simulation of clips, machines and their losses.

python -m benchmarks.capacity [--json benchmarks/results/capacity.json] [--plot docs/capacity.svg]

Clips arrive at random by the profile of a day. Each needs a CPU core (reading), a share of a GPU
(mattes to 4D), and a core again (videos, exports), for the seconds of ds4d/run/estimate.py, which
were measured, as was how much longer clips take that share a GPU (benchmarks.sharing). The smallest
number of GPUs is searched with which 95 % of the clips of a day wait less than five minutes in all.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import math
from pathlib import Path

import numpy as np
import tyro

from ds4d.config import Config
from ds4d.presets import PRESETS
from ds4d.run.estimate import expected

HOUR, DAY = 3600.0, 86_400.0
WAIT = 300.0  # seconds that 95 % of the clips may wait
# Visitors by hour of the day, of a mean of 1: half at night, 1.6 times as many in the afternoon.
PROFILE = np.array(
    [0.6, 0.5, 0.45, 0.4, 0.4, 0.45, 0.55, 0.7, 0.9, 1.1, 1.25, 1.35,
     1.4, 1.5, 1.6, 1.6, 1.5, 1.4, 1.3, 1.25, 1.2, 1.05, 0.85, 0.7]
)  # fmt: skip
ON_GPU = ("matting", "multiview", "features", "mesh", "fourd")
SPREAD = 0.15  # of seconds from clip to clip, standard deviation of their logarithm
CHECKPOINT = 60.0  # seconds of work on a GPU that a lost machine costs at most
REPLACED = 180.0  # seconds until another machine stands in for a lost one; its clip waits for it
SHARING = Path(__file__).parent / "results/sharing.json"
CORES_SPARE = 1.3  # cores for each that is busy at the peak: they are cheap beside GPUs


@dataclasses.dataclass(frozen=True)
class Work:
    """The seconds of a clip: on a core, on a GPU, on a core."""

    before: float
    gpu: float
    after: float


@dataclasses.dataclass(frozen=True)
class Fleet:
    """The machines. `slots` clips share a GPU; each then takes `slowdown` times as long."""

    gpus: int
    cores: int
    slots: int = 1
    slowdown: float = 1.0
    lost_per_hour: float = 0.0  # share of the GPUs, of spot machines


@dataclasses.dataclass(frozen=True)
class Options:
    json: Path | None = None
    """file for the figures"""
    plot: Path | None = None
    """file for the plot"""
    daily: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    """clips a day"""
    kinds: tuple[str, ...] = ("L4", "A100", "H200")
    """GPUs"""
    preset: str = "preview"
    """preset of the clips"""


def work_on(kind: str, config: Config) -> Work:
    """The expected seconds of a clip on a kind of GPU."""
    costs = {cost.stage: cost.seconds for cost in expected(config, config.clip.frames, kind, 2)}
    gpu = math.fsum(costs[stage] for stage in ON_GPU)
    return Work(costs["clip"], gpu, costs["videos"] + costs["export"])


def arrivals(daily: int, generator: np.random.Generator) -> np.ndarray:
    """Times of arrival in a day, seconds, in order."""
    counts = generator.poisson(daily / 24 * PROFILE / PROFILE.mean())
    times = [hour + generator.random(count) for hour, count in enumerate(counts)]
    return np.sort(np.concatenate(times)) * HOUR


def places_of(fleet: Fleet) -> tuple[int, int, int]:
    """Clips that are read, on GPUs, and finished at a time."""
    return fleet.cores, fleet.gpus * fleet.slots, fleet.cores


def station(
    times: np.ndarray,  # [N] of arrival, in order
    seconds: np.ndarray,  # [N] of work
    places: int,
) -> np.ndarray:
    """Times [N] at which clips leave a station that works on some of them at a time, first come,
    first served."""
    free = [0.0] * places  # when each place is free again; a heap
    ends = []
    for arrival, work in zip(times.tolist(), seconds.tolist(), strict=True):
        end = max(arrival, free[0]) + work
        heapq.heapreplace(free, end)
        ends.append(end)
    return np.array(ends)


def simulate(
    times: np.ndarray,  # [N] of arrival, in order
    work: Work,
    fleet: Fleet,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Times [N] at which clips are done, and the seconds [N] that each has waited in all; work that
    is repeated after a loss counts as waiting."""
    generator = np.random.default_rng(seed)
    spread = generator.lognormal(-(SPREAD**2) / 2, SPREAD, len(times))
    on_gpu = work.gpu * fleet.slowdown * spread
    losses = generator.poisson(on_gpu * fleet.lost_per_hour / HOUR)
    on_gpu += losses * (REPLACED + CHECKPOINT * generator.random(len(times)))
    needs = (work.before * spread, on_gpu, work.after * spread)
    alone = (work.before + work.gpu * fleet.slowdown + work.after) * spread
    arrived = times
    order = np.arange(len(times))
    for seconds, places in zip(needs, places_of(fleet), strict=True):
        if seconds.any():
            ends = station(times, seconds[order], places)
            sorting = np.argsort(ends, kind="stable")
            times, order = ends[sorting], order[sorting]
    done = times[np.argsort(order)]
    return done, done - arrived - alone


def p95(daily: int, work: Work, fleet: Fleet, seed: int = 0) -> float:
    """Seconds that 95 % of the clips of a day wait at most."""
    times = arrivals(daily, np.random.default_rng(seed))
    return float(np.percentile(simulate(times, work, fleet, seed)[1], 95))


def needed(daily: int, work: Work, fleet: Fleet) -> tuple[Fleet, float]:
    """The smallest fleet like the given one, to 2 %, and its 95th percentile of the waits."""
    busy = daily / DAY * work.gpu * fleet.slowdown / fleet.slots  # GPUs, on average
    cores = daily / DAY * (work.before + work.after) * PROFILE.max() / PROFILE.mean()
    fleet = dataclasses.replace(fleet, cores=math.ceil(cores * CORES_SPARE) + 1)
    low, high = max(0, math.floor(busy) - 1), math.ceil(2 * busy) + 2  # too few, enough
    found: dict[int, float] = {}
    while high - low > max(1, 0.02 * high):
        middle = (low + high) // 2
        found[middle] = p95(daily, work, dataclasses.replace(fleet, gpus=middle))
        low, high = (low, middle) if found[middle] < WAIT else (middle, high)
    best = dataclasses.replace(fleet, gpus=high)
    return best, found[high] if high in found else p95(daily, work, best)


# Four that share a GPU whose sharing was not measured: if that were for nothing, as their small
# kernels leave it mostly idle, and if it made each three times as slow.
BOUNDS = {
    "four share it, at no loss": Fleet(0, 0, slots=4),
    "four share it, each 3 times as long": Fleet(0, 0, slots=4, slowdown=3.0),
}


def ways(kind: str, sharing: list[dict]) -> dict[str, Fleet]:
    """Ways to use a GPU of a kind: a clip alone, several that share it, and spot machines.

    Args:
        sharing: rows of benchmarks.sharing. Of a kind that is among them, the number of clips at a
            time is taken that gives the most fits an hour; of others, bounds.
    """
    measured = {
        row["at_a_time"]: row["fits_an_hour"]
        for row in sharing
        if kind in row["gpu"] and row["networks"] == "random"
    }
    shared = BOUNDS
    if 1 in measured:
        slots = max(measured, key=measured.get)
        slowdown = slots * measured[1] / measured[slots]
        shared = {f"{slots} share it, as measured": Fleet(0, 0, slots=slots, slowdown=slowdown)}
    return {
        "one clip on a GPU": Fleet(0, 0),
        **shared,
        "one on a spot GPU, 5 % lost an hour": Fleet(0, 0, lost_per_hour=0.05),
    }


def main(options: Options) -> None:
    config, rows = PRESETS[options.preset], []
    sharing = json.loads(SHARING.read_text()) if SHARING.exists() else []
    for kind in options.kinds:
        work = work_on(kind, config)
        for way, fleet in ways(kind, sharing).items():
            for daily in options.daily:
                best, wait = needed(daily, work, fleet)
                row = {
                    "gpu": kind, "way": way, "clips_a_day": daily, "gpus": best.gpus,
                    "cores": best.cores, "p95_wait_s": round(wait),
                    "gpu_s_a_clip": round(work.gpu * best.slowdown, 1),
                    "gpu_hours_a_1000_clips": round(best.gpus * 24 / daily * 1000, 1),
                }  # fmt: skip
                rows.append(row)
                print(json.dumps(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    if options.plot:
        plot(rows, options.plot)


def plot(rows: list[dict], file: Path) -> None:
    """GPUs against clips a day, a line per kind and way."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for number, kind in enumerate(dict.fromkeys(row["gpu"] for row in rows)):
        of_kind = [row for row in rows if row["gpu"] == kind]
        names = dict.fromkeys(row["way"] for row in of_kind)
        for way, style in zip(names, ("-", ":", "--", "-."), strict=False):
            line = [row for row in of_kind if row["way"] == way]
            x, y = [row["clips_a_day"] for row in line], [row["gpus"] for row in line]
            axes.loglog(x, y, style, color=f"C{number}", marker=".", label=f"{kind}: {way}")
    axes.set(xlabel="clips a day", ylabel="GPUs, 95 % wait less than 5 minutes")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
