"""Jobs of the page on a Ray cluster: as many at a time as it holds, each stage a task of its own.

The folder of all jobs lies on a disk that the page and all machines of the cluster share under the
same path. A task appends its events to the job's log there, as the worker process does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from ds4d.batch.cluster import Cluster
from ds4d.errors import Busy
from ds4d.run.events import STAGES

from ..errors import explain
from .event_log import EventLog
from .store import Job, load
from .worker import work

DRAFTS = "drafts"  # the one task of a job that makes clips of a picture, or pictures of words
STOP = "stop"  # file in a job's folder: its task should end
GRACE = 10.0  # seconds from asking a task to stop to ending it
POLL_SECONDS = 0.5  # between two checks of a task
RETRIES = 3  # of a stage whose process or machine was lost
PATIENCE = 30.0  # seconds in which a machine that was cut off lets go of a run
THREADS = 2  # of a task: a visitor waits for one job, not for many

log = logging.getLogger("ds4d.page")


class ClusterLane:
    """Computes jobs on the cluster that this process is connected to."""

    def __init__(self, cluster: Cluster):
        import ray

        self.cluster = dataclasses.replace(cluster, local=True)  # no more jobs than slots
        self.threads = min(THREADS, cluster.node_cpus)
        self.task = ray.remote(compute_stage)

    def slots(self) -> int:
        """Number of jobs that the cluster computes at a time, as large as it is now."""
        import ray

        try:
            total = ray.cluster_resources()
        except ray.exceptions.RayError as error:
            log.warning("the cluster does not answer: %s", type(error).__name__)
            return 0
        self.cluster = dataclasses.replace(
            self.cluster, cpus=int(total.get("CPU", 1)), gpus=total.get("GPU", 0.0)
        )
        return self.cluster.clips_at_once(self.threads)

    def compute(self, job: Job, stopped: Callable[[], bool]) -> None:
        """Compute a job; its log says how it ended. Returns without a last line in the log if the
        cluster lost it again and again, or if it did not stop when it was asked to."""
        stop = job.folder / STOP
        stop.unlink(missing_ok=True)
        for stage in (DRAFTS,) if job.drafting else STAGES:
            for _ in range(1 + RETRIES):
                ended = self._run(job, stage, stopped, stop)
                if ended is not None:
                    break
            if ended is not False:  # it is over, or lost
                return

    def _run(self, job: Job, stage: str, stopped: Callable[[], bool], stop: Path) -> bool | None:
        """Run the task of a stage: True if the job has ended with it, None if it was lost."""
        import ray

        like = "multiview" if stage == DRAFTS else stage  # a network on a GPU
        asked = self.cluster.resources(like, job.config, self.threads)
        if stage == DRAFTS and "num_gpus" in asked:
            asked["num_gpus"] = 1.0
        machine = self.cluster.machine(like, job.config)
        name = f"{stage} of a visitor's clip"
        task = self.task.options(name=name, max_retries=0, **asked)
        reference = task.remote(str(job.folder), stage, machine, self.threads)
        since = None
        while not ray.wait([reference], timeout=POLL_SECONDS)[0]:
            if since is None and stopped():
                stop.touch()
                since = time.monotonic()
            if since is not None and time.monotonic() - since > GRACE:
                ray.cancel(reference, force=True)
        try:
            return ray.get(reference)
        except ray.exceptions.RayError as error:
            log.warning("%s of job %s: %s", stage, job.id, type(error).__name__)
            return True if stopped() else None


def compute_stage(folder: str, stage: str, machine: dict[str, Any], threads: int) -> bool:
    """Compute a stage of a job, on a machine of the cluster; True if the job has ended with it."""
    from ds4d.batch.tasks import set_threads

    set_threads(threads)
    job, stop = load(Path(folder)), Path(folder) / STOP
    config = dataclasses.replace(
        job.config, machine=dataclasses.replace(job.config.machine, **machine)
    )
    job = dataclasses.replace(job, config=config)
    until = STAGES[-1] if stage == DRAFTS else stage
    with closing(EventLog(job.folder)) as events:
        try:
            _wait(lambda: _watch(work(job, until), stage, events, stop))
        except Exception as error:
            events.end("failed", explain(error))
            return True
        if stop.exists():
            events.end("cancelled")
        elif stage in (STAGES[-1], DRAFTS):
            events.end("done")
        else:
            return False
        return True


def _watch(steps, stage: str, events: EventLog, stop: Path) -> None:
    with closing(steps):
        for event in steps:
            if stage in (event.stage, DRAFTS):
                events.write(event)
            if stop.exists():
                return


def _wait(work: Callable[[], None]) -> None:
    """Do work in a run folder as soon as a task that was lost has let go of it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(Busy):
            return work()
        if time.monotonic() > deadline:
            return work()
        time.sleep(1.0)
