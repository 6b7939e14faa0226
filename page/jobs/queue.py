"""The lane: one job at a time, in a process that can be killed without hurting the page."""

from __future__ import annotations

import json
import logging
import math
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from ds4d.errors import UserError
from ds4d.run.estimate import expected

from ..about import cores, gpu_name
from .store import EVENTS, Job, Store

ROOT = Path(__file__).resolve().parents[2]
GRACE = 10.0  # seconds from asking a worker to stop to killing it
LOOK_EVERY = 0.2  # seconds between two looks at the worker
LOOK_AFTER_ALL = 5.0  # seconds between two looks for jobs that were abandoned
REMEMBERED = 5  # finished jobs of a preset that say how long the next one takes
STOPPED = ("Cancelled.", "What is finished is kept: press Go on to continue from here.")
ABANDONED = (
    "Stopped, because nobody looked at this run for {minutes:g} minutes.",
    "What is finished is kept: press Go on to continue from here.",
)
RESTARTED = (
    "Stopped, because this Space was restarted.",
    "What is finished is kept: press Go on to continue from here.",
)
KILLED = (
    "The machine has ended this run, most likely because its memory was full.",
    "Choose fewer frames, smaller ones, or the preview; what is finished is kept.",
)

log = logging.getLogger("ds4d.app")


class Queue:
    """Takes queued jobs one after the other. `start` begins; until then jobs only queue up."""

    def __init__(self, store: Store):
        self.store, self.limits = store, store.limits
        self.wake = threading.Event()  # there may be something to do
        self.stops: dict[str, tuple[str, str]] = {}  # jobs to stop, with what to say about it

    def start(self, serve: bool = True) -> None:
        """Begin, with what was left by a page that is gone; without `serve` others compute."""
        for job in self.store.all():
            if job.state == "running" or job.active and not serve:
                self.end(job, "cancelled", *RESTARTED)
        threading.Thread(target=self._serve if serve else self._watch, daemon=True).start()

    def submit(self, job: Job) -> Job:
        """Queue a job that is at rest. Raises UserError where a limit is reached."""
        with self.store.lock:
            active = [other for other in self.store.all() if other.active]
            if any(other.folder == job.folder for other in active):
                raise UserError("This run is already at work.", "Cancel it to change something.")
            if sum(other.state == "queued" for other in active) >= self.limits.queue_length:
                raise UserError("Too many runs are waiting.", "Please come back in a while.")
            mine = sum(other.visitor == job.visitor for other in active)
            if mine >= self.limits.jobs_per_visitor:
                raise UserError(
                    f"{mine} of your runs are already waiting or at work.",
                    "Cancel one, or wait for it.",
                )
            (job.folder / EVENTS).write_text("")
            job.look()
            queued = {"state": "queued", "sentence": "", "hint": "", "queued": time.time()}
            job = self.store.change(job, config=job.config, **queued)
        self.wake.set()
        return job

    def cancel(self, job: Job, reason: tuple[str, str] = STOPPED) -> Job:
        """Stop a job; answers at once, a job at work ends within seconds."""
        with self.store.lock:
            job = self.store.find(job.id)
            if job.state == "queued":
                return self.end(job, "cancelled", *reason)
            if job.state == "running":
                self.stops[job.id] = reason
        return job

    def forget(self, job: Job) -> None:
        """Delete a job that is at rest. Raises UserError for any other."""
        with self.store.lock:
            if self.store.find(job.id).active:
                raise UserError("This run is at work.", "Cancel it first.")
            self.store.delete(job)

    def end(self, job: Job, state: str, sentence: str = "", hint: str = "") -> Job:
        return self.store.change(job, state=state, sentence=sentence, hint=hint, ended=time.time())

    def ahead(self, job: Job) -> list[Job]:
        """The jobs that are computed before this one."""
        active = [other for other in self.store.all() if other.active]
        return [other for other in active if other.queued < job.queued]

    def wait(self, job: Job) -> float:
        """Seconds until the job's turn, roughly."""
        waits = []
        for other in self.ahead(job):
            done = time.time() - other.started if other.state == "running" else 0.0
            waits.append(max(self.takes(other) - done, 5.0))
        return math.fsum(waits)

    def takes(self, job: Job) -> float:
        """Seconds that a job takes, as the newest of its preset did here, or as it is expected."""
        taken = [
            other.ended - other.started
            for other in self.store.all()
            if other.state == "done" and other.config.preset == job.config.preset
        ]
        if taken:
            return statistics.median(taken[-REMEMBERED:])
        costs = expected(job.config, job.config.clip.frames, gpu_name(), cores())
        return math.fsum(cost.seconds for cost in costs)

    def begin(self, job: Job) -> Job:
        return self.store.change(job, state="running", started=time.time())

    def settle(self, job: Job) -> Job:
        """Note how a computation that is over has ended."""
        with self.store.lock:
            reason = self.stops.pop(job.id, None)
            ending = last_words(job)
            if ending.get("end") == "done":
                return self.end(job, "done")
            if reason is not None:
                return self.end(job, "cancelled", *reason)
            if ending.get("end") == "failed":
                return self.end(job, "failed", ending["sentence"], ending["hint"])
            return self.end(job, "failed", *KILLED)

    def _watch(self) -> None:
        while True:
            self.stop_abandoned()
            time.sleep(LOOK_AFTER_ALL)

    def _serve(self) -> None:
        worker = _new_worker()
        while True:
            with self.store.lock:
                self.stop_abandoned()
                waiting = [job for job in self.store.all() if job.state == "queued"]
                job = self.begin(waiting[0]) if waiting else None
            if job is None:
                self.wake.wait(timeout=LOOK_AFTER_ALL)
                self.wake.clear()
                continue
            if worker.poll() is not None:
                worker = _new_worker()
            try:
                self._compute(job, worker)
            except Exception:  # one job's trouble is not the next one's
                log.exception("job %s", job.id)
                worker.kill()
                self.end(job, "failed", *KILLED)
            worker = _new_worker()

    def _compute(self, job: Job, worker: subprocess.Popen) -> None:
        """Hand the job to a worker and wait for its end, however it comes."""
        tell(worker, f"{job.folder}\n")
        asked, looked = None, time.monotonic()
        while worker.poll() is None:
            time.sleep(LOOK_EVERY)
            now = time.monotonic()
            if now - looked > LOOK_AFTER_ALL:
                self.stop_abandoned()
                looked = now
            if asked is None and job.id in self.stops:
                worker.stdin.close()
                asked = now
            if asked is not None and now - asked > GRACE:
                worker.kill()
        self.settle(job)

    def stop_abandoned(self) -> None:
        """Stop the jobs at which nobody has looked for the stated time."""
        oldest = time.time() - self.limits.abandon_minutes * 60
        sentence, hint = ABANDONED
        for job in self.store.all():
            if job.active and job.seen() < oldest and job.id not in self.stops:
                reason = sentence.format(minutes=self.limits.abandon_minutes), hint
                self.cancel(job, reason)


def _new_worker() -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "page.jobs.worker"], cwd=ROOT, stdin=subprocess.PIPE, text=True
    )


def tell(worker: subprocess.Popen, line: str) -> None:
    try:
        worker.stdin.write(line)
        worker.stdin.flush()
    except BrokenPipeError:  # it has ended already; whoever waits for it sees that
        pass


def last_words(job: Job) -> dict:
    """The last event of a job, which says how it ended."""
    lines = (job.folder / EVENTS).read_text().splitlines()
    try:
        return json.loads(lines[-1]) if lines else {}
    except json.JSONDecodeError:  # half a line of a process that was killed
        return {}
