"""Starts of the optimization: points on the mesh beside given Gaussians, by held-out scores.

    python -m benchmarks.agreeing_views CASE FOLDER --sizes 0 0.01
    python -m benchmarks.starts FOLDER/CASE --views multiview_agree_0,multiview_agree_0.01

The Gaussians are those that `benchmarks.agreeing_views` has rendered the middle frame's views from.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import tyro

from benchmarks.quality import cell, scores
from ds4d import pipeline
from ds4d.fourd.asset import Asset
from ds4d.multiview.views import SPLATS_FILE
from ds4d.run.workspace import Workspace


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]]
    """case folders that benchmarks.agreeing_views has written"""
    views: str = "multiview_agree_0"
    """their folders of views, by commas"""
    lengths: str = "0.125,0.25,0.5,1"
    """shares of the preset's steps, by commas"""
    work: Path = Path("start_runs")
    """folder for the runs"""
    json: Path | None = None
    """file for the rows as JSON"""


def measure(case: Path, views: str, length: float, work: Path) -> list[dict]:
    """Scores of both starts, a row each."""
    rows = []
    for start in ("points", "gaussians"):
        trained = cell.Cell(case.resolve().name, views, "preview", "none", length, 0)
        prepared = work / f"prepared-{case.name}-{views}"
        cell.prepare(case, trained, prepared)
        run = work / f"{trained.name}-{start}"
        shutil.copytree(prepared, run, dirs_exist_ok=True)
        workspace = Workspace(run)
        with workspace.replacing(f"multiview/{SPLATS_FILE}") as file:
            shutil.copyfile(case / views / SPLATS_FILE, file)
        config = trained.settings()
        config = dataclasses.replace(config, fourd=dataclasses.replace(config.fourd, start=start))
        for _ in pipeline.generate(case, workspace, config, until="fourd"):
            pass
        asset = Asset.load(run / "fourd.safetensors")
        found = scores.of(asset, case, run)
        rows.append({"case": case.name, "views": views, "length": length, "start": start} | found)
        shutil.rmtree(run)
    return rows


def main(options: Options) -> None:
    rows: list[dict] = []
    for case in options.cases:
        for views in options.views.split(","):
            for length in options.lengths.split(","):
                rows += measure(case, views, float(length), options.work)
                print(json.dumps(rows[-2:]), flush=True)
                if options.json:
                    options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
