"""What every stage with several engines answers: who does the work here, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    """An engine that was chosen for a stage, ready to run.

    Engines load their weights when they run, and have let go of them when they return.
    """

    name: str  # as in the config
    why: str  # plain words
    run: Callable  # the stage's own arguments -> a generator of events that returns the result
    made_from: tuple[str, ...] = ()  # weights, files: what beside the settings decides the result
