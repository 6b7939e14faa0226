"""The ledger of a batch: the state of every clip, kept in batch.json beside the runs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from ..run.structure import structure
from .orders import Order, occurrence
from .runs import Runs

FILE = "batch.json"


@dataclass
class Entry:
    """The state of one clip."""

    source: str = ""
    key: str = ""  # of the order
    state: str = "waiting"  # waiting, done, failed
    stage: str = ""  # at which it failed
    sentence: str = ""  # why it failed
    hint: str = ""
    seconds: dict[str, float] = field(default_factory=dict)  # by stage
    engines: dict[str, str] = field(default_factory=dict)  # by stage
    scores: dict[str, float | None] = field(default_factory=dict)  # against the truth


class Ledger:
    """Entries by the names of the runs; `save` writes them as a whole."""

    def __init__(self, runs: Runs):
        self.runs = runs
        self.entries = _read(runs.read(FILE))

    def names(self) -> dict[str, str]:
        """Names of runs by the clip and its occurrence, for `orders.collect`."""
        counts: Counter[str] = Counter()
        names = {}
        for name, entry in self.entries.items():
            counts[entry.source] += 1
            names[occurrence(entry.source, counts[entry.source])] = name
        return names

    def open(self, orders: list[Order], retry_failed: bool) -> list[Order]:
        """Note all orders; returns those that have work left."""
        left = []
        for order in orders:
            key = order.key
            entry = self.entries.setdefault(order.name, Entry(order.source))
            settled = entry.state == "done" or (entry.state == "failed" and not retry_failed)
            if settled and entry.key == key:
                continue
            entry.key, entry.state = key, "waiting"
            entry.stage = entry.sentence = entry.hint = ""
            left.append(order)
        self.save()
        return left

    def save(self) -> None:
        entries = {name: asdict(entry) for name, entry in self.entries.items()}
        self.runs.write(FILE, json.dumps({"clips": entries}, indent=1).encode())


def _read(data: bytes | None) -> dict[str, Entry]:
    """The entries in a file; none where it is missing or damaged: runs know what they have done."""
    try:
        record: dict[str, Any] = json.loads(data or b"{}")
        return {name: structure(entry, Entry) for name, entry in record.get("clips", {}).items()}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return {}
