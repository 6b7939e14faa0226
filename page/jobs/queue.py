"""The job queue: one job of a kind at a time, in a worker process that can be killed safely.

There are two kinds, or lanes: runs and networks, and what takes a minute of one core. Nobody waits
for another one's run to see a picture move. On a cluster, as many runs at a time as it holds.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import statistics
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

from ds4d.errors import UserError
from ds4d.run.estimate import expected

from ..hardware import cores, gpu_name
from . import event_log
from .clock import now
from .cluster import ClusterLane
from .store import Job, Store

ROOT = Path(__file__).resolve().parents[2]
GRACE = 10.0  # seconds from asking a worker to stop to killing it
POLL_SECONDS = 0.2  # between two checks of the worker
IDLE_SECONDS = 5.0  # between two checks for new and for abandoned jobs
LANES = ("runs", "quick")
ORDER = ("clip", "clip_key", "picture", "picture_key", "config", "wish", "drafting")  # of a job
DRAFT_SECONDS = {"puppet": 60.0}  # expected for drafts by an engine
OTHER_SECONDS = 300.0  # and for those by the others
RECENT = 5  # finished jobs of a preset that the estimate for the next one is based on

RESUME = "Finished stages are kept. Press Continue to resume from here."
CANCELLED = UserError("Cancelled.", RESUME)
RESTARTED = UserError("Stopped because this Space was restarted.", RESUME)
KILLED = UserError(
    "The system ended this run, most likely because it ran out of memory.",
    "Use fewer or smaller frames, or the preview preset. Finished stages are kept.",
)
SLOW = UserError("Reading the clip took too long.", "Use a shorter or a smaller clip.")

log = logging.getLogger("ds4d.page")


class Queue:
    """Computes queued jobs in order. Until `start` is called, jobs are only queued."""

    def __init__(self, store: Store):
        self.store, self.limits = store, store.limits
        self.wake = {name: threading.Event() for name in LANES}  # set when a job was queued
        self.stops: dict[str, UserError] = {}  # reasons for stopping, by the id of a running job
        self.cluster: ClusterLane | None = None

    def start(self, serve: bool = True, cluster: ClusterLane | None = None) -> None:
        """Begin with the jobs that an earlier process left.

        Without `serve`, jobs are computed inside visitors' requests (ZeroGPU), and this only stops
        abandoned ones. With a `cluster`, runs are computed there.
        """
        self.cluster = cluster
        for job in self.store.all():
            if job.state == "running" or job.active and not serve:
                self.end(job, "cancelled", RESTARTED)
        work = [partial(self._serve, name) for name in LANES] if serve else [self._watch]
        if serve and cluster is not None:
            work[LANES.index("runs")] = self._serve_cluster
        for each in work:
            threading.Thread(target=each, daemon=True).start()

    def submit(self, job: Job) -> Job:
        """Queue an inactive job. Raises UserError when a limit is reached."""
        with self.store.lock:
            active = [other for other in self.store.all() if other.active]
            if any(other.folder == job.folder for other in active):
                raise UserError("This run is in progress.", "Cancel it to change something.")
            if sum(other.state == "queued" for other in active) >= self.limits.queue_length:
                raise UserError("Too many runs are waiting.", "Please try again later.")
            count = sum(other.visitor == job.visitor for other in active)
            if count >= self.limits.jobs_per_visitor:
                raise UserError(
                    f"{count} of your runs are already queued or running.",
                    "Cancel one, or wait for one to finish.",
                )
            (job.folder / event_log.EVENTS).write_text("")
            job.touch()
            queued = {"state": "queued", "sentence": "", "hint": "", "queued": now()}
            job = self.store.change(job, **{name: getattr(job, name) for name in ORDER}, **queued)
        self.wake[lane(job)].set()
        return job

    def cancel(self, job: Job, reason: UserError = CANCELLED) -> Job:
        """Stop a job. Returns at once; a running job ends within seconds."""
        with self.store.lock:
            job = self.store.find(job.id)
            if job.state == "queued":
                return self.end(job, "cancelled", reason)
            if job.state == "running":
                self.stops[job.id] = reason
        return job

    def delete(self, job: Job) -> None:
        """Delete an inactive job and its files. Raises UserError for an active one."""
        with self.store.lock:
            if self.store.find(job.id).active:
                raise UserError("This run is in progress.", "Cancel it first.")
            self.store.delete(job)

    def begin(self, job: Job) -> Job:
        return self.store.change(job, state="running", started=now())

    def end(self, job: Job, state: str, reason: UserError | None = None) -> Job:
        sentence, hint = (reason.sentence, reason.hint) if reason else ("", "")
        return self.store.change(job, state=state, sentence=sentence, hint=hint, ended=now())

    def settle(self, job: Job, silent: UserError = KILLED) -> Job:
        """Record how a computation ended; `silent` is why, if it has not said so itself."""
        with self.store.lock:
            reason = self.stops.pop(job.id, None)
            line = event_log.last_line(job.folder)
            if line.get("end") == "done":
                return self.end(job, "done")
            if reason is not None:
                return self.end(job, "cancelled", reason)
            if line.get("end") == "failed":
                return self.end(job, "failed", UserError(line["sentence"], line["hint"]))
            return self.end(job, "failed", silent)

    def ahead(self, job: Job) -> list[Job]:
        """Active jobs of the same lane that were queued before this one."""
        return [
            other
            for other in self.store.all()
            if other.active and other.queued < job.queued and lane(other) == lane(job)
        ]

    def wait_seconds(self, job: Job) -> float:
        """Estimated seconds until the job starts."""
        waits = []
        for other in self.ahead(job):
            elapsed = now() - other.started if other.state == "running" else 0.0
            waits.append(max(self.run_seconds(other) - elapsed, 5.0))
        if self.cluster is None or lane(job) != "runs":
            return math.fsum(waits)
        at_once = max(self.cluster.slots(), 1)
        return math.fsum(waits) / at_once if len(waits) >= at_once else 0.0

    def run_seconds(self, job: Job) -> float:
        """Estimated seconds of a job: the median of recent ones like it, else a model."""
        durations = [
            other.ended - other.started
            for other in self.store.all()
            if other.state == "done" and _likeness(other) == _likeness(job)
        ]
        if durations:
            return statistics.median(durations[-RECENT:])
        if job.drafting:
            return DRAFT_SECONDS.get(job.wish.engine, OTHER_SECONDS)
        costs = expected(job.config, job.config.clip.frames, gpu_name(), cores())
        return math.fsum(cost.seconds for cost in costs)

    def stop_abandoned(self) -> None:
        """Stop jobs whose page nobody has had open for `Limits.abandon_minutes`."""
        minutes = self.limits.abandon_minutes
        reason = UserError(
            f"Stopped because nobody had this run open for {minutes:g} minutes.", RESUME
        )
        oldest = now() - minutes * 60
        for job in self.store.all():
            if job.active and job.last_visit() < oldest and job.id not in self.stops:
                self.cancel(job, reason)

    def _watch(self) -> None:
        while True:
            self.stop_abandoned()
            time.sleep(IDLE_SECONDS)

    def _next(self, name: str) -> Job | None:
        """Begin with the first job that waits in a lane; None, after a moment, without one."""
        with self.store.lock:
            self.stop_abandoned()
            queued = [job for job in self.store.all() if job.state == "queued"]
            waiting = [job for job in queued if lane(job) == name]
            if waiting:
                return self.begin(waiting[0])
        self._pause(name)
        return None

    def _pause(self, name: str) -> None:
        self.wake[name].wait(timeout=IDLE_SECONDS)
        self.wake[name].clear()

    def _serve(self, name: str) -> None:
        worker = _new_worker(name)
        while True:
            job = self._next(name)
            if job is None:
                continue
            if worker.poll() is not None:
                worker = _new_worker(name)
            try:
                self._compute(job, worker)
            except Exception:  # an error in one job must not stop the queue
                log.exception("job %s", job.id)
                worker.kill()
                with contextlib.suppress(UserError, OSError):  # it was deleted, or the disk is full
                    self.end(job, "failed", KILLED)
            worker = _new_worker(name)

    def _serve_cluster(self) -> None:
        running: list[threading.Thread] = []
        while True:
            running = [thread for thread in running if thread.is_alive()]
            if len(running) >= self.cluster.slots():
                self._pause("runs")
            elif job := self._next("runs"):
                running.append(threading.Thread(target=self._compute_there, args=(job,)))
                running[-1].daemon = True
                running[-1].start()

    def _compute_there(self, job: Job) -> None:
        """Compute a job on the cluster, and let the next one begin."""
        try:
            self.cluster.compute(job, lambda: job.id in self.stops)
            self.settle(job)
        except Exception:  # an error in one job must not stop the queue
            log.exception("job %s", job.id)
            with contextlib.suppress(UserError, OSError):  # it was deleted, or the disk is full
                self.end(job, "failed", KILLED)
        self.wake["runs"].set()

    def _compute(self, job: Job, worker: subprocess.Popen) -> None:
        """Hand a job to a worker and wait until the worker ends, for whatever reason."""
        _send(worker, f"{job.folder}\n")
        stopping, checked = None, time.monotonic()
        while worker.poll() is None:
            time.sleep(POLL_SECONDS)
            at = time.monotonic()
            if at - checked > IDLE_SECONDS:
                self.stop_abandoned()
                checked = at
            if stopping is None and job.id in self.stops:
                worker.stdin.close()
                stopping = at
            if stopping is not None and at - stopping > GRACE:
                worker.kill()
        self.settle(job, SLOW if worker.returncode == -signal.SIGXCPU else KILLED)


def lane(job: Job) -> str:
    """The lane of a job, one of LANES."""
    return "quick" if job.drafting and job.wish.engine == "puppet" else "runs"


def _likeness(job: Job) -> tuple:
    """A key that is equal for jobs which take about the same time."""
    return (job.wish.task, job.wish.engine) if job.drafting else (job.config.preset,)


def _new_worker(name: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "page.jobs.worker", name]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, text=True)


def _send(worker: subprocess.Popen, line: str) -> None:
    try:
        worker.stdin.write(line)
        worker.stdin.flush()
    except BrokenPipeError:  # the worker has ended, which the caller sees from poll()
        pass
