"""One stage of one clip, as the task that a machine of the cluster computes."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import Busy, UserError, of_the_machine
from ..run.events import STAGES, Event
from ..run.workspace import Workspace
from .orders import Order
from .runs import Runs
from .stores import local_clip

SCORES = "scores"  # after the stages, of a clip with truth
STEPS = (*STAGES, SCORES)
# A machine that was cut off may still be at work in the run for a moment.
PATIENCE = 60.0  # seconds
SCORED = ("psnr_fg", "mask_iou", "motion_psnr")


@dataclass(frozen=True)
class Outcome:
    """The end of a task."""

    state: Literal["done", "failed", "again"]  # again: the machine is at fault, not the clip
    sentence: str = ""
    hint: str = ""
    record: dict[str, Any] = field(default_factory=dict)  # of the stage, in run.json
    scores: dict[str, float | None] = field(default_factory=dict)


def compute(
    order: Order,
    runs: Runs,
    step: str,
    threads: int,
    listen: Callable[[Event], None] | None = None,
) -> Outcome:
    """Compute one of STEPS after those before it; it is skipped where it is current.

    Args:
        threads: number of CPU threads to use.
        listen: called with each event.
    """
    set_threads(threads)
    try:
        return _wait_for_the_run(lambda: _compute(order, runs, step, listen))
    except UserError as error:
        return Outcome("failed", error.sentence, error.hint)
    except Exception as error:
        explained = of_the_machine(error)
        if explained is not None:
            return Outcome("again", explained.sentence, explained.hint)
        _log(runs, order, traceback.format_exc())
        return Outcome(
            "failed", f"The program has an error: {type(error).__name__}.",
            f"Please report log.txt in the folder {order.name}.",
        )  # fmt: skip


def set_threads(count: int) -> None:
    """Let torch, numba and OpenCV use a number of threads."""
    import cv2
    import numba
    import torch

    cv2.setNumThreads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    torch.set_num_threads(count)  # after numba, whose start of OpenMP sets torch's threads as well


def _wait_for_the_run(work: Callable[[], Outcome]) -> Outcome:
    """Do work in a run folder as soon as nobody else is at work there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


def _compute(
    order: Order, runs: Runs, step: str, listen: Callable[[Event], None] | None
) -> Outcome:
    from .. import pipeline  # imports torch

    with local_clip(order) as source, runs.run(order.name) as folder:
        workspace = Workspace(folder)
        if step == SCORES:
            return Outcome("done", scores=_scores(source, workspace, order))
        with closing(pipeline.generate(source, workspace, order.config, step)) as events:
            for event in events:
                runs.keep(order.name, folder)
                if listen is not None and event.stage == step:
                    listen(event)
        return Outcome("done", record=workspace.record["stages"][step])


def _scores(case: Path, workspace: Workspace, order: Order) -> dict[str, float | None]:
    """Scores of a run against the truth of its case; empty where there is none."""
    from ..evaluation import evaluate
    from ..evaluation.protocol import truth_sets
    from ..fourd.asset import Asset
    from ..run import device
    from ..run.events import result

    try:
        truth_sets(case)
    except UserError:
        return {}
    machine = order.config.machine
    asset = Asset.load(workspace / "fourd.safetensors").to(device.pick(machine.device))
    folder = workspace / "evaluation" / case.name
    with workspace.lock():
        found = result(evaluate(asset, case, folder, machine.rasterizer, workspace))
    scores = {name: found["heldout"].get(name) for name in SCORED}
    return {name: value for name, value in scores.items() if value and math.isfinite(value)}


def _log(runs: Runs, order: Order, text: str) -> None:
    try:
        with runs.run(order.name) as folder:
            Workspace(folder).log(text)
    except Exception:  # a log that cannot be written must not hide the error
        pass


def on(order: Order, **machine: Any) -> Order:
    """The order with other settings of the machine."""
    return replace(
        order, config=replace(order.config, machine=replace(order.config.machine, **machine))
    )
