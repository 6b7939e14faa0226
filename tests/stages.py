"""A stage's events and result, for tests."""

from __future__ import annotations

from typing import TypeVar

from ds4d.run.events import Event, Stage, result

Result = TypeVar("Result")


def finished(stage: Stage[Result]) -> tuple[list[Event], Result]:
    """Run a stage to its end: its events and its result."""
    events: list[Event] = []
    value = result(stage, events.append)
    return events, value
