"""Whole runs against ground truth: seconds, memory and held-out quality.

python -m benchmarks.preview CASE [CASE ...] [--views multiview,none] [--preset preview]

Each run is a process of its own, as a user would start it: generate, then evaluate. The asset is
scored again after one shift along the viewing direction for the whole clip, because the distance of
an object cannot be seen in a single view.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro

from ds4d.fourd.asset import Asset
from ds4d.render.turntable import cut_out

from .front_end import best_shift, distances, read_truth, scores

METRICS = ("psnr_fg", "mask_iou", "motion_psnr", "psnr", "ssim", "temporal_psnr")


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]]
    """case folders with truth"""
    views: str = "multiview,none"
    """folders of given views to run with, by commas; none = the embedded engine makes them"""
    preset: str = "preview"
    """preset of the runs"""
    json: Path | None = None
    """file for the rows as JSON"""


def measure(case: Path, views: str, preset: str) -> dict:
    """Measure one run: metrics, seconds of both commands and each stage, peak memory."""
    with tempfile.TemporaryDirectory() as run:
        started = time.perf_counter()
        options = ["--out", run, "--preset", preset, "--views", views]
        memory = _command("generate", str(case), *options)[1]
        generated = time.perf_counter()
        printed, more = _command("evaluate", run, str(case))
        ended = time.perf_counter()
        record = json.loads((Path(run) / "run.json").read_text())
        moved = after_shift(Asset.load(Path(run) / "fourd.safetensors"), case)
    stages = {name: stage["seconds"] for name, stage in record["stages"].items()}
    heldout = json.loads(printed)["heldout"]
    sides = {
        camera: [scored["psnr_fg"], scored["mask_iou"]]
        for camera, scored in heldout["per_view"].items()
    }
    return {
        "case": case.resolve().name, "views": views, "preset": preset, "seed": record["seed"],
        **{name: heldout[name] for name in METRICS}, "by_camera": sides, **moved,
        "generate_seconds": round(generated - started, 1),
        "evaluate_seconds": round(ended - generated, 1),
        "peak_memory_gb": round(max(memory, more), 2),
        "gaussians": record["stages"]["fourd"]["gaussians"], "stages": stages,
    }  # fmt: skip


def after_shift(asset: Asset, case: Path) -> dict:
    """Best shift (world units), scores after it, and chamfer distances without it."""
    truth = read_truth(case, every=1)
    splats = [asset.splats(moment / max(truth.moments)) for moment in truth.moments]
    points = [each.means.numpy() for each in splats]
    shift = best_shift(points, truth)
    moved = np.stack([
        cut_out(dataclasses.replace(each, means=each.means + each.means.new_tensor([0, shift, 0])),
                truth.cameras)
        for each in splats
    ])  # fmt: skip
    scored = scores(moved, truth)
    return {
        "shift": round(float(shift), 3),
        "shifted": [scored[name] for name in ("psnr_fg", "mask_iou", "motion_psnr")],
    } | distances(points, truth)


def _command(*arguments: str) -> tuple[str, float]:
    """Run a command of the project; returns its output and its peak memory in GB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ds4d", *arguments], stdout=subprocess.PIPE, text=True
    )
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return printed, usage.ru_maxrss / 1e6


def main(options: Options) -> None:
    rows = []
    for case in options.cases:
        for views in options.views.split(","):
            rows.append(measure(case, views, options.preset))
            print(json.dumps(rows[-1]), flush=True)
    hidden = ("stages", "seed", "preset", "by_camera", "chamfer_by_frame")
    columns = [name for name in rows[0] if name not in hidden]
    print("\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row[name]) for name in columns) + " |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
