"""A request that the 4D stage ends with the steps it has done, kept as a file in the run folder."""

from __future__ import annotations

from pathlib import Path


def request(run: Path) -> None:
    """Ask the 4D stage of a run folder to end early; it stays asked until `withdraw`."""
    flag = _flag(run)
    flag.parent.mkdir(exist_ok=True)
    flag.touch()


def withdraw(run: Path) -> None:
    """Let the 4D stage of a run folder take all of its steps."""
    _flag(run).unlink(missing_ok=True)


def requested(run: Path) -> bool:
    """True if the 4D stage of a run folder should end early."""
    return _flag(run).exists()


def _flag(run: Path) -> Path:
    return run / "checkpoints" / "finish"
