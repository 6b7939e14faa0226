"""How tests listen to a stage."""

from __future__ import annotations

from typing import TypeVar

from ds4d.run.events import Event, Stage

Result = TypeVar("Result")


def finished(stage: Stage[Result]) -> tuple[list[Event], Result]:
    """Run a stage to its end: its events and its result."""
    events = []
    while True:
        try:
            events.append(next(stage))
        except StopIteration as end:
            return events, end.value
