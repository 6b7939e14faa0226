"""Events that stages yield while they work, for the progress bar, the log and the page alike."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

STAGES = ("clip", "matting", "multiview", "features", "mesh", "fourd", "videos", "export")


@dataclass(frozen=True)
class Event:
    """Progress of a running stage.

    A stage that is skipped because its artifacts are current yields one event with `skipped`.
    The last event of every stage has `step == total`.
    """

    stage: str  # one of STAGES
    step: int = 0  # finished units of work
    total: int = 0  # units of work in the stage; 0 = not known yet
    message: str = ""  # plain English, for a person
    preview: np.ndarray | None = None  # [H, W, 3] uint8, the newest picture of the stage
    metrics: dict[str, float] = field(default_factory=dict)  # e.g. loss, psnr, gaussians
    warning: bool = False  # the person should read the message
    skipped: bool = False


Item = TypeVar("Item")
Result = TypeVar("Result")
# A stage's work: `result = yield from engine(...)`. Closing the generator cancels the work.
Stage = Generator[Event, None, Result]


def _ignore(event: object) -> None:
    pass


def result(stage: Generator[Item, None, Result], listen: Callable[[Item], Any] = _ignore) -> Result:
    """Run a stage to its end and return its result.

    Args:
        listen: called with each event. If it raises, Ctrl-C included, the stage is closed.
    """
    try:
        while True:
            listen(next(stage))
    except StopIteration as end:
        return end.value
    finally:
        stage.close()


def mapped(steps: Generator[Item, None, Result], change: Callable[[Item], Event]) -> Stage[Result]:
    """Yield `change(item)` for each item of a generator; return the generator's result."""
    try:
        while True:
            try:
                item = next(steps)
            except StopIteration as end:
                return end.value
            yield change(item)
    finally:
        steps.close()


def nested(stage: Stage[Result], into: Event, share: int) -> Stage[Result]:
    """Run a stage as a part of another one; return its result.

    Args:
        into: the outer stage at the beginning of this part. Its message introduces the messages
            of the inner stage.
        share: units of the outer stage's work that this part takes.
    """

    def scaled(event: Event) -> Event:
        done = event.step / event.total if event.total else 0.0
        message = ": ".join(filter(None, (into.message, event.message)))
        step = into.step + int(share * done)
        return replace(event, stage=into.stage, step=step, total=into.total, message=message)

    return mapped(stage, scaled)


def gathered(results: Iterable[Result], event: Event) -> Stage[list[Result]]:
    """Collect all results in a list; after each of them, yield `event` with one step more."""
    found = []
    for item in results:
        found.append(item)
        yield replace(event, step=event.step + len(found))
    return found
