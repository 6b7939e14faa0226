"""The schedule of a batch: stages of many clips as tasks, repeated where a machine was lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import ray
from ray import exceptions

from .cluster import Cluster
from .orders import Order
from .runs import Runs
from .tasks import STEPS, Outcome, compute, on

RETRIES = 3  # of a stage whose machine was lost, or had no room
PAUSE = 5.0  # seconds before a stage is repeated
TICK = 1.0  # seconds between two looks at an unchanged state
GRACE = 20.0  # seconds for tasks to end after a Ctrl-C
# The task did not end: its process, its machine or the connection to it did.
LOST = (
    exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError,
    exceptions.ObjectLostError, exceptions.LocalRayletDiedError, exceptions.RaySystemError,
)  # fmt: skip


@dataclass
class Clip:
    """A clip in work."""

    order: Order
    step: int = 0  # in STEPS
    losses: int = 0  # machines lost in this step
    after: float = 0.0  # monotonic seconds before which the step is not repeated
    seconds: dict[str, float] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    outcome: Outcome | None = None  # of the whole clip, in the end

    @property
    def stage(self) -> str:
        return STEPS[self.step]


class Schedule:
    """Computes orders on a cluster; `listen` is told whenever a clip has ended, and every second.

    Args:
        listen: called with the clips that have ended since the last call.
    """

    def __init__(
        self,
        orders: list[Order],
        runs: Runs,
        cluster: Cluster,
        threads: int,
        listen: Callable[[list[Clip]], None],
    ):
        self.waiting = [Clip(order) for order in orders]
        self.runs, self.cluster, self.threads, self.listen = runs, cluster, threads, listen
        self.running: dict[ray.ObjectRef, Clip] = {}
        self.losses = 0  # of machines, in all
        self.task = ray.remote(compute)

    def run(self) -> None:
        """Compute until no clip is left. Ctrl-C stops the tasks and is raised again."""
        try:
            while self.waiting or self.running:
                self._fill()
                ready, _ = ray.wait(list(self.running), timeout=TICK) if self.running else ([], [])
                if not self.running:
                    time.sleep(TICK)
                clips = [(self.running.pop(reference), reference) for reference in ready]
                self.listen([clip for clip, reference in clips if self._ended(clip, reference)])
        except BaseException:
            self._stop()
            raise

    def stages(self) -> Counter[str]:
        """Number of clips in each stage."""
        return Counter(clip.stage for clip in self.running.values())

    def _fill(self) -> None:
        """Begin with clips that wait, as many as are in work at a time."""
        most = self.cluster.clips_at_once(self.threads)
        now = time.monotonic()
        room = max(0, most - len(self.running))
        begun = [clip for clip in self.waiting if clip.after <= now][:room]
        for clip in begun:
            self.waiting.remove(clip)
            self._submit(clip)

    def _submit(self, clip: Clip) -> None:
        config = clip.order.config
        asked = self.cluster.resources(clip.stage, config, self.threads)
        order = on(clip.order, **self.cluster.machine(clip.stage, config))
        task = self.task.options(name=f"{clip.stage} of {order.name}", max_retries=0, **asked)
        self.running[task.remote(order, self.runs, clip.stage, self.threads)] = clip

    def _ended(self, clip: Clip, reference: ray.ObjectRef) -> bool:
        """Take over the outcome of a task, and go on with the clip; True if the clip has ended."""
        outcome = _outcome(reference)
        if outcome.state == "again":
            self.losses += 1
            clip.losses += 1
            if clip.losses <= RETRIES:
                clip.after = time.monotonic() + PAUSE
                self.waiting.insert(0, clip)
                return False
        elif outcome.state == "done":
            record = outcome.record
            if "seconds" in record:
                clip.seconds[clip.stage] = record["seconds"]
            if "engine" in record:
                clip.engines[clip.stage] = record["engine"]
            if clip.stage != STEPS[-1]:
                clip.step, clip.losses = clip.step + 1, 0
                self._submit(clip)
                return False
        clip.outcome = outcome
        return True

    def _stop(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        for reference in self.running:
            ray.cancel(reference)
        if self.running:
            ray.wait(list(self.running), num_returns=len(self.running), timeout=GRACE)


def _outcome(reference: ray.ObjectRef) -> Outcome:
    try:
        return ray.get(reference)
    except exceptions.OutOfMemoryError:
        return Outcome(
            "again", "A machine did not have enough memory.",
            "Use fewer or smaller frames, or machines with more memory.",
        )  # fmt: skip
    except exceptions.RayTaskError as error:  # `compute` itself raises nothing: it never began
        return Outcome(
            "failed", f"The cluster could not begin it: {_last_line(error)}",
            "Start Ray in the folder of this repository on all machines (docs/cluster.md).",
        )  # fmt: skip
    except LOST:
        return Outcome(
            "again", "The machines or processes that computed it ended again and again.",
            "Finished stages are kept: --retry-failed goes on.",
        )  # fmt: skip
    except exceptions.RayError as error:
        return Outcome("failed", f"The cluster could not compute it: {_last_line(error)}")


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
