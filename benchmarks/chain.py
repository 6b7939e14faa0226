"""The whole chain without weights against ground truth: what the 4D asset itself scores.

python -m benchmarks.chain CASE [CASE ...] [--views none,multiview] [--json benchmarks/chain.json]

Each case is generated as a user would, from its front frames alone ("none") or with its own views.
The asset is scored by camera, as it is and after one shift along the viewing direction for the
whole clip, and its Gaussians' distances to the true vertices are told for each frame.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import tyro

from ds4d.fourd.asset import Asset
from ds4d.turntable import cut_out

from .front_end import best_shift, read_truth, scores, shifted


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]]
    """case folders with truth"""
    views: str = "none,multiview"
    """folders of given views to run with, by commas; none = the embedded engine makes them"""
    preset: str = "preview"
    """preset of the runs"""
    json: Path | None = None
    """file for the rows as JSON"""


def measure(case: Path, views: str, preset: str) -> dict:
    """One run of a case: its scores as it is and shifted, and each stage's seconds."""
    truth = read_truth(case, every=1)
    with tempfile.TemporaryDirectory() as run:
        options = ["--out", run, "--preset", preset, "--views", views]
        subprocess.run([sys.executable, "-m", "ds4d", "generate", case, *options], check=True)
        asset = Asset.load(Path(run) / "fourd.safetensors")
        stages = json.loads((Path(run) / "run.json").read_text())["stages"]
    last = max(truth.moments)
    solids = [asset.splats(moment / last) for moment in truth.moments]
    shift = best_shift(solids, truth)
    return {
        "case": case.resolve().name, "views": views, "preset": preset,
        "as_it_is": scores(solids, truth, cut_out), "shift": round(float(shift), 3),
        "shifted": scores([shifted(one, shift) for one in solids], truth, cut_out),
        "seconds": {name: stage["seconds"] for name, stage in stages.items()},
    }  # fmt: skip


def main(options: Options) -> None:
    rows = []
    for case in options.cases:
        for views in options.views.split(","):
            rows.append(measure(case, views, options.preset))
            print(json.dumps(rows[-1]), flush=True)
    cameras = [name for name in rows[0]["as_it_is"]["by_camera"] if name.startswith("heldout/")]
    titles = ["case", "views", "as it is", "shifted", *cameras, "chamfer"]
    print("\n| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    for row in rows:
        kept, moved = (
            f"{s['psnr_fg']} / {s['mask_iou']} / {s['motion_psnr']}"
            for s in (row["as_it_is"], row["shifted"])
        )
        each = ["{} / {}".format(*row["as_it_is"]["by_camera"][name]) for name in cameras]
        cells = [row["case"], row["views"], kept, f"{row['shift']}: {moved}", *each]
        print("| " + " | ".join([*cells, str(row["as_it_is"]["chamfer"])]) + " |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
