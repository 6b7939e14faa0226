"""How fast this machine is, and how cost grows with Gaussians, pixels, frames and views.

python -m benchmarks.speed [--only rasterizer steps chain scaling] [--quick] [--json FILE]

Measures the renderers at many sizes, training steps of every preset, a whole run of a bundled
clip, and curves of cost with the straight lines through them. Writes FILE, and beside it the same
as markdown and as a plot (.md, .svg). With --only, the other parts of FILE are kept if it is from
the same machine.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal

import tyro

from . import chain, measure, plot, rasterizer, report, scaling, steps

PARTS = {"rasterizer": rasterizer, "steps": steps, "chain": chain, "scaling": scaling}
Part = Literal["rasterizer", "steps", "chain", "scaling"]


@dataclasses.dataclass(frozen=True)
class Options:
    only: tuple[Part, ...] = ("rasterizer", "steps", "chain", "scaling")
    """parts to measure"""
    quick: bool = False
    """tiny sizes, in seconds: whether everything runs, not how fast"""
    json: Path | None = None
    """file for the figures, and for .md and .svg beside it"""


def main(options: Options) -> None:
    machine = measure.machine()
    rows = _kept(options, machine)
    print(json.dumps(machine), flush=True)
    for name in options.only:
        for row in PARTS[name].run(options.quick):
            rows.append({"measured": name, **row})
            print(json.dumps(row), flush=True)
            if options.json:  # after each row: whoever stops here keeps what was measured
                _save(options.json, machine, rows)
    print("\n" + report.markdown(machine, rows))


def _kept(options: Options, machine: dict) -> list[dict]:
    """The rows of earlier parts that are not measured again."""
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
