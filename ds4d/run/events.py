"""What stages yield while they work: one stream for the progress bar, the log and the page."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

STAGES = ("clip", "matting", "multiview", "features", "mesh", "fourd", "videos", "export")


@dataclass(frozen=True)
class Event:
    """One piece of news from a running stage.

    A stage that is skipped because its artifacts are current yields one event with `skipped`.
    The last event of every stage has `step == total`.
    """

    stage: str  # one of STAGES
    step: int = 0  # finished units of work
    total: int = 0  # units of work in the stage; 0 = not known yet
    message: str = ""  # plain words, for a person
    preview: np.ndarray | None = None  # [H, W, 3] uint8, the newest picture of the stage
    metrics: dict[str, float] = field(default_factory=dict)  # e.g. loss, psnr, gaussians
    warning: bool = False  # the message is something the person should know
    skipped: bool = False


Result = TypeVar("Result")
# An engine: `result = yield from engine(...)`. Closing the generator cancels the work.
Stage = Generator[Event, None, Result]


def gathered(results: Iterable[Result], told: Event) -> Stage[list[Result]]:
    """All results, and after each of them `told` with one step more."""
    found = []
    for result in results:
        found.append(result)
        yield replace(told, step=told.step + len(found))
    return found
