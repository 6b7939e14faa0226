"""Medians of runs, and tables of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence

from ..speed.report import cells, table


def median(runs: Sequence[dict]) -> dict:
    """Medians of all numbers of each stage over runs; words are those of the last run."""
    stages = {}
    for stage, last in runs[-1]["stages"].items():
        stages[stage] = {}
        for name, value in last.items():
            if isinstance(value, str):
                stages[stage][name] = value
                continue
            values = [run["stages"][stage][name] for run in runs if name in run["stages"][stage]]
            stages[stage][name] = round(statistics.median(values), 2)
    return {"stages": stages}


def lines(rows: Sequence[dict]) -> str:
    """JSON with a line for each list of stages, so that changes can be read."""
    texts = []
    for row in rows:
        parts = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in row.items())
        texts.append(f" {{{parts}}}")
    return "[\n" + ",\n".join(texts) + "\n]\n"


def markdown(row: dict) -> str:
    """The table of one machine, clip, preset and networks."""
    machine = row["machine"]
    place = machine["gpu"] if machine["gpu"] != "none" else f"{machine['cores']} cores"
    title = f"{row['clip']}, {row['preset']}, networks {row['networks']}, {place}, n = {row['n']}"
    if "ratios" in row:
        title += f"; seconds over the other checkout's: {row['ratios']}"
    names = ("processor_seconds", "gpu_busy", "peak_memory_mb", "gpu_peak_memory_mb")
    first, later = row["cold"]["stages"], row.get("warm", {"stages": {}})["stages"]
    return f"{title}\n\n" + table(
        "stage | engine | first run, s | later runs, s | processor s | GPU busy | memory, MB | "
        "GPU memory, MB",
        (
            [
                stage, *cells(facts, "engine", "seconds"),
                *cells(later.get(stage, {}), "seconds"), *cells(later.get(stage, facts), *names),
            ]
            for stage, facts in first.items()
        ),
    )  # fmt: skip
