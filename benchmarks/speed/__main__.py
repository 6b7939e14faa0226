"""Speed on this machine, and cost as a function of Gaussians, pixels, frames and views.

python -m benchmarks.speed [--only rasterizer steps scaling] [--quick] [--json FILE]

Measures the rasterizers at many sizes, training steps of every preset, and cost curves with linear
fits. Writes FILE, and the same as a table (.md) and a plot (.svg)
beside it. With --only, the other parts of FILE are kept if they are from the same machine.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal

import tyro

from . import measure, plot, rasterizer, report, scaling, training

PARTS = {"rasterizer": rasterizer, "steps": training, "scaling": scaling}
Part = Literal["rasterizer", "steps", "scaling"]


@dataclasses.dataclass(frozen=True)
class Options:
    only: tuple[Part, ...] = ("rasterizer", "steps", "scaling")
    """parts to measure"""
    quick: bool = False
    """tiny sizes, a smoke test of a few seconds"""
    json: Path | None = None
    """file for the figures; .md and .svg are written beside it"""


def main(options: Options) -> None:
    machine = measure.machine()
    rows = _kept(options, machine)
    print(json.dumps(machine), flush=True)
    for name in options.only:
        for row in PARTS[name].run(options.quick):
            rows.append({"measured": name, **row})
            print(json.dumps(row), flush=True)
            if options.json:  # after each row, so that an interrupted run keeps its figures
                _save(options.json, machine, rows)
    print("\n" + report.markdown(machine, rows))


def _kept(options: Options, machine: dict) -> list[dict]:
    """Rows of an earlier run that are not measured again."""
    if options.json is None or not options.json.exists():
        return []
    before = json.loads(options.json.read_text())
    if before["machine"] != machine:
        return []
    return [row for row in before["rows"] if row["measured"] not in options.only]


def _save(file: Path, machine: dict, rows: list[dict]) -> None:
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    file.write_text(f'{{"machine": {json.dumps(machine)},\n "rows": [\n{lines}\n]}}\n')
    file.with_suffix(".md").write_text(report.markdown(machine, rows))
    plot.save(rows, file.with_suffix(".svg"))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
