"""Seconds of the whole chain, from a clip to videos and exports, stage by stage.

    python -m benchmarks.chain [--json benchmarks/results/chain.json]
    python -m benchmarks.chain --against OTHER-CHECKOUT
    python -m benchmarks.chain --networks random

Each run is a process of its own, as a user starts it: the first with no compiled kernels, the
others with those that it has left. With --against, runs of another checkout alternate with those
of this one. On a GPU, `--networks random` runs the pretrained engines at their published sizes with
random weights (8 GB, written once); see `random_networks`.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Literal

import tyro

from ..speed import measure
from . import random_networks
from .one_run import CLIPS, HERE, Command, run
from .report import lines, markdown, median


@dataclasses.dataclass(frozen=True)
class Options:
    clip: Path = CLIPS / "frog.mp4"
    """clip of the runs"""
    preset: str = "preview"
    """preset of the runs"""
    repeats: int = 5
    """warm runs, of which the medians are taken; the first run of all comes on top"""
    against: Path | None = None
    """another checkout, whose runs alternate with those of this one"""
    networks: Literal["as-installed", "random", "tiny"] = "as-installed"
    """pretrained networks: those that a user would get here, or random weights of their published
    sizes (on a GPU) or of tiny ones (to try the program)"""
    folder: Path = Path(tempfile.gettempdir()) / "ds4d-random"
    """folder for random weights and for the views that they cannot draw, reused later"""
    json: Path | None = None
    """file for the figures; those of other machines, clips and networks in it are kept"""


def main(options: Options, more: list[str]) -> None:
    """Measure and print; `more` are further arguments of `generate`."""
    given = ["--preset", options.preset, *more]
    machine = measure.machine()
    with tempfile.TemporaryDirectory() as place:
        prefix = ["-m", "ds4d", "generate"]
        if options.networks != "as-installed":
            given = [*random_networks.prepare(options.networks, options.folder), *given]
            drawn = random_networks.draw(options.clip, options.folder / options.clip.stem, more)
            prefix = ["-m", random_networks.__name__, str(drawn), "generate"]
        checkouts = {"this": HERE} | ({"other": options.against} if options.against else {})
        commands = {
            name: Command([*prefix, str(options.clip.resolve()), *given], folder, Path(place, name))
            for name, folder in checkouts.items()
        }
        runs = {name: [] for name in commands}
        for _ in range(1 + options.repeats):
            for name, command in commands.items():  # in turns: the machine's speed changes
                runs[name].append(run(command))
                print(json.dumps({"checkout": name, **runs[name][-1]}), flush=True)
                if options.json:  # after each run, so that an interrupted one keeps its figures
                    _save(options, machine, runs["this"], runs.get("other", []))
    print("\n" + markdown(_facts(options, machine, runs["this"], runs.get("other", []))))


def _facts(options: Options, machine: dict, runs: list[dict], others: list[dict]) -> dict:
    """The figures of one machine, clip, preset and networks."""
    facts = {
        "machine": machine, "clip": options.clip.name, "preset": options.preset,
        "networks": options.networks, "cold": runs[0], "n": len(runs) - 1,
    }  # fmt: skip
    if runs[1:]:
        facts["warm"] = median(runs[1:])
    if len(runs) > 1 and len(others) > 1:
        ratios = [
            one["stages"]["whole command"]["seconds"] / other["stages"]["whole command"]["seconds"]
            for one, other in zip(runs[1:], others[1:], strict=False)
        ]
        facts |= {"other": median(others[1:]), "ratios": [round(ratio, 3) for ratio in ratios]}
    return facts


def _save(options: Options, machine: dict, runs: list[dict], others: list[dict]) -> None:
    new, rows = _facts(options, machine, runs, others), []
    if options.json.exists():
        rows = json.loads(options.json.read_text())
    same = ("machine", "clip", "preset", "networks")
    rows = [row for row in rows if any(row[name] != new[name] for name in same)]
    options.json.write_text(lines([*rows, new]))


if __name__ == "__main__":
    main(*tyro.cli(Options, description=__doc__, return_unknown_args=True))
