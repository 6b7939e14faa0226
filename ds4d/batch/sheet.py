"""The sheet of a batch: one static page with a looping orbit per clip, failures first."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from urllib.parse import quote

from jinja2 import Environment, PackageLoader

from ..format import duration
from .ledger import Entry
from .runs import Runs

FILE = "index.html"
UNITS = {"psnr_fg": "dB PSNR-FG", "mask_iou": "IoU", "motion_psnr": "dB motion PSNR"}
STATES = ("failed", "done", "waiting")  # in this order


def write(runs: Runs, entries: dict[str, Entry]) -> None:
    """Write the sheet of the entries, by the names of their runs, beside the runs."""
    page = Environment(loader=PackageLoader("ds4d.batch", "."), autoescape=True)
    cards = [_card(name, entry) for name, entry in entries.items()]
    cards.sort(key=lambda card: STATES.index(card["state"]))
    counts = {state: sum(card["state"] == state for card in cards) for state in STATES}
    html = page.get_template("sheet.html").render(cards=cards, counts=counts)
    runs.write(FILE, html.encode())


def _card(name: str, entry: Entry) -> dict:
    seconds = math.fsum(entry.seconds.values())
    slowest = sorted(entry.seconds.items(), key=lambda item: -item[1])[:3]
    return {
        "name": name,
        "folder": quote(name),
        "source": PurePosixPath(entry.source).name,
        "state": entry.state if entry.state in STATES else "waiting",
        "stage": entry.stage,
        "sentence": entry.sentence,
        "hint": entry.hint,
        "seconds": duration(seconds) if seconds else "",
        "slowest": ", ".join(f"{stage} {duration(value)}" for stage, value in slowest),
        "engines": ", ".join(f"{stage}: {engine}" for stage, engine in entry.engines.items()),
        "scores": [f"{entry.scores[key]:.3g} {UNITS[key]}" for key in UNITS if key in entry.scores],
    }
