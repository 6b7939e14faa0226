"""Held-out quality of configurations on cases with truth.

python -m benchmarks.quality CASE [CASE ...] --configs A,H --views multiview,multiview_noisy

Goes on where it was stopped: cells whose rows are in the JSON file are not trained again.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import tyro
from tqdm import tqdm

from .cell import Cell, prepare, run
from .report import write


@dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]]
    """case folders"""
    configs: str = "plain,A,B,C,D,E,F,G,H,none"
    """configurations, by commas; none = the preset as it is (ds4d/fourd/ablations.py)"""
    views: str = "multiview"
    """folders of given views in the cases, by commas; none = the embedded engine makes them"""
    preset: str = "preview"
    """preset of the trainings"""
    lengths: str = "1"
    """shares of the preset's steps, by commas: a curve of quality against seconds"""
    seeds: str = "0"
    """seeds, by commas"""
    json: Path = Path("benchmarks/results/quality.json")
    """file of the rows; the table goes beside it as .md, the plot as .svg"""
    work: Path = Path("quality_runs")
    """folder for prepared stages, runs while they last, and contact sheets"""
    jobs: int = 1
    """trainings at once, each in a process of its own"""


def main(options: Options) -> None:
    rows = json.loads(options.json.read_text()) if options.json.exists() else []
    cases = {case.resolve().name: case.resolve() for case in options.cases}
    done = {tuple(row[field.name] for field in fields(Cell)) for row in rows}
    cells = [cell for cell in grid(options, cases) if tuple(asdict(cell).values()) not in done]
    context = multiprocessing.get_context("spawn")  # each cell's peak memory is its own
    with ProcessPoolExecutor(options.jobs, context, max_tasks_per_child=1) as pool:
        prepared = {}
        for cell in cells:
            key = cell.case, cell.views, cell.preset
            if key not in prepared:
                prepared[key] = options.work / "prepared" / "-".join(key)
                pool.submit(prepare, cases[cell.case], cell, prepared[key]).result()
        jobs = {
            pool.submit(
                run, cases[cell.case], cell, prepared[cell.case, cell.views, cell.preset],
                options.work,
            ): cell
            for cell in cells
        }  # fmt: skip
        for job in tqdm(as_completed(jobs), total=len(jobs), unit="training"):
            rows.append(job.result())
            options.json.write_text(json.dumps(rows, indent=1) + "\n")
            tqdm.write(json.dumps(rows[-1]))
    write(rows, options.json)


def grid(options: Options, cases: dict[str, Path]) -> list[Cell]:
    """Every combination; a case has not all kinds of views."""
    combinations = itertools.product(
        options.seeds.split(","), cases, options.views.split(","), options.lengths.split(","),
        options.configs.split(","),
    )  # fmt: skip
    return [
        Cell(case, views, options.preset, config, float(length), int(seed))
        for seed, case, views, length, config in combinations
        if views == "none" or (cases[case] / views).exists()
    ]


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
