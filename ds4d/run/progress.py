"""A progress bar on a terminal: stage, steps per second, time left."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TypeVar

from tqdm import tqdm

from .events import Event, result

Result = TypeVar("Result")
QUIET_INTERVAL = 10.0  # seconds between two lines if the output is not a terminal


def show(events: Generator[Event, None, Result]) -> Result:
    """Run a stage or a whole pipeline to its end, with a bar per stage, and return its result.

    Ctrl-C closes the generator, which cancels the work.
    """
    bar: tqdm | None = None

    def update(event: Event) -> None:
        nonlocal bar
        if bar is None or bar.desc != event.stage:
            bar = _next_bar(bar, event)
        if event.message and (event.warning or event.skipped or event.step == 0):
            mark = "Note: " if event.warning else ""
            tqdm.write(f"{event.stage}: {mark}{event.message}", file=sys.stderr)
        bar.total = event.total or bar.total
        figures = {k: f"{v:.4g}" for k, v in event.metrics.items() if k != "steps_per_second"}
        if figures:
            bar.set_postfix(figures, refresh=False)
        bar.update(event.step - bar.n)

    try:
        return result(events, update)
    finally:
        if bar is not None:
            bar.close()


def _next_bar(bar: tqdm | None, event: Event) -> tqdm:
    if bar is not None:
        bar.close()
    interval = 0.2 if sys.stderr.isatty() else QUIET_INTERVAL
    # A resumed stage begins at a later step, from which its rate and time left are measured.
    return tqdm(
        desc=event.stage, total=event.total or None, initial=event.step, mininterval=interval,
        file=sys.stderr, unit="step",
    )  # fmt: skip
