"""The place of the runs of a batch, by its path or address."""

from __future__ import annotations

from .addresses import is_address
from .hub import HubRuns
from .runs import Runs
from .stores import ObjectRuns

FOLDERS = ("file://", "local://")  # folders by another name


def open_runs(out: str) -> Runs:
    """The folder of all runs at a path, or at an address of an object store.

    Raises:
        UserError: the address names no repository of the Hub.
    """
    for scheme in FOLDERS:
        out = out.removeprefix(scheme)
    if not is_address(out):
        return Runs(out)
    if out.startswith("hf://") and not out.startswith("hf://buckets/"):
        return HubRuns(out)
    return ObjectRuns(out)
