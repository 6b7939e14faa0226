"""Tables of the papers: our scores beside the published rows, as Markdown and LaTeX.

python -m benchmarks.papers RUNS CASES [--markdown FILE] [--latex FILE]

For every folder CASES/NAME the run in RUNS/NAME is evaluated, or its earlier scores are taken.
Scores are means over frames, then views, then cases. CASES have the layout of docs/scenes.md;
networks and preprocessing are those of Consistent4D (docs/method.md, section 13). Its check value:
the released results of Consistent4D score CLIP 0.9085 and LPIPS 0.1316. `--sets` adds the classical
FVD and FID-VID over the videos and frames of all cases together.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from ds4d.config import MachineConfig
from ds4d.evaluation import papers

COLUMNS = ("clip", "lpips", "fvd")  # of the table; the papers do not say how FID-VID is computed
# Consistent4D's seven objects, by the DS4D paper.
TABLE_1 = {
    "Consistent4D": (0.9085, 0.1316, 1041.2242),
    "DreamGaussian4D": (0.9145, 0.1517, 844.9087),
    "STAG4D": (0.9078, 0.1354, 986.8271),
    "SC4D": (0.9117, 0.1370, 852.9816),
    "4Diffusion": (0.8734, 0.2284, 1551.6363),
    "L4GM": (0.9132, 0.1587, 1360.0434),
    "DS4D-GA": (0.9206, 0.1311, 799.9367),
    "DS4D-DA": (0.9225, 0.1309, 784.0235),
}
TABLE_2 = {
    "A": (0.9133, 0.1341, 953.63),
    "B": (0.9151, 0.1313, 913.371),
    "C": (0.9163, 0.1311, 899.5714),
    "D": (0.9174, 0.1350, 888.6579),
    "E": (0.9186, 0.1333, 861.6075),
    "F": (0.9194, 0.1313, 839.66),
    "G": (0.9206, 0.1311, 799.9367),
    "H": (0.9225, 0.1309, 784.0235),
}


@dataclasses.dataclass(frozen=True)
class Options:
    runs: tyro.conf.Positional[Path]
    """folder of run folders"""
    cases: tyro.conf.Positional[Path]
    """folder of case folders of the same names, with heldout/"""
    weights: str = ""
    """folder of weights, as for evaluate"""
    table: int = 1
    """table whose published rows are shown: 1 (methods) or 2 (ablation)"""
    name: str = "this program"
    """name of our row"""
    markdown: Path | None = None
    """file for the table as Markdown; it is printed, too"""
    latex: Path | None = None
    """file for the table as LaTeX"""
    sets: bool = False
    """also print distances of sets over all cases, which the papers' rows do not have"""


def scores(run: Path, case: Path, weights: str) -> dict[str, float]:
    """Scores of a run, kept in its evaluation folder."""
    kept = run / "evaluation" / f"{case.name}.papers.json"
    if not kept.exists():
        command = [sys.executable, "-m", "ds4d", "evaluate", str(run), str(case)]
        command += ["--weights", weights] if weights else []
        done = subprocess.run([*command, "--metrics", *COLUMNS], stdout=subprocess.PIPE, text=True)
        if done.returncode:  # it has said why
            sys.exit(f"{run} was not evaluated.")
        kept.write_text(json.dumps(json.loads(done.stdout)["papers"]))
    return json.loads(kept.read_text())


def over_sets(runs: Path, cases: list[Path], weights: str) -> dict[str, Any]:
    """Distances of sets over the views of all cases, which have been evaluated."""
    machine = MachineConfig(weights=weights)
    pairs = [
        pair
        for case in cases
        for pair in papers.views(runs / case.name / "evaluation" / case.name, case)
    ]
    return {name: papers.of_sets(name, pairs, machine) for name in papers.OF_SETS}


def mean(rows: list[dict[str, float]]) -> tuple[float, ...]:
    """Means over cases, in the order of COLUMNS."""
    return tuple(float(np.mean([row[column] for row in rows])) for column in COLUMNS)


def as_markdown(rows: dict[str, tuple[float, ...]]) -> str:
    head = "| method | CLIP ↑ | LPIPS ↓ | FVD ↓ |\n|---|---|---|---|\n"
    return head + "".join(f"| {name} | {_row(values, ' | ')} |\n" for name, values in rows.items())


def as_latex(rows: dict[str, tuple[float, ...]]) -> str:
    titles = "Method & CLIP $\\uparrow$ & LPIPS $\\downarrow$ & FVD $\\downarrow$"
    head = f"\\begin{{tabular}}{{lccc}}\n{titles} \\\\\n"
    lines = "".join(f"{name} & {_row(values, ' & ')} \\\\\n" for name, values in rows.items())
    return f"{head}\\hline\n{lines}\\end{{tabular}}\n"


def _row(values: tuple[float, ...], between: str) -> str:
    clip, lpips, fvd = values
    return between.join((f"{clip:.4f}", f"{lpips:.4f}", f"{fvd:.1f}"))


def main(options: Options) -> None:
    cases = sorted(path for path in options.cases.iterdir() if path.is_dir())
    found = [scores(options.runs / case.name, case, options.weights) for case in cases]
    rows = {1: TABLE_1, 2: TABLE_2}[options.table] | {options.name: mean(found)}
    print(as_markdown(rows))
    if options.sets:
        print(json.dumps(over_sets(options.runs, cases, options.weights)))
    for path, text in ((options.markdown, as_markdown(rows)), (options.latex, as_latex(rows))):
        if path:
            path.write_text(text)


if __name__ == "__main__":
    main(tyro.cli(Options))
