"""The processes that make preflight reports, with limits on time, memory and number."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ds4d.config import ClipConfig
from ds4d.errors import UserError
from ds4d.preflight.checks import Check

from ..limits import Limits

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 4  # processes
WAITING = 2  # reports of one visitor that may wait, and for each process; others are told at once
KEPT_ANSWERS = 64
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

BUSY = UserError("Many clips are being looked at right now.", "You can start the run all the same.")
LEFT = UserError("Another clip was chosen.")


@dataclass(frozen=True)
class ClipReport:
    """The report on a clip, `ds4d.preflight.Report`, as the page shows it."""

    name: str
    seconds: float | None
    fps: float | None
    width: int  # pixels
    height: int  # pixels
    source_frames: int
    used: tuple[int, ...]  # source frames that a run uses
    marks: tuple[float, ...]  # their places on the whole clip's timeline, in [0, 1]
    checks: tuple[Check, ...]
    thumbnails: tuple[str, ...]  # data URLs


class PreflightPool:
    """All reports of one app: one at a time for each visitor, and AT_ONCE in all."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.changed = threading.Condition()
        self.running: dict[str, _Place] = {}  # by tab
        self.waiting: Counter[str] = Counter()  # of each visitor
        self.answers: OrderedDict[tuple, dict[str, Any]] = OrderedDict()
        self.spare: subprocess.Popen | None = None

    def report(self, clip: str, config: ClipConfig, visitor: str = "", tab: str = "") -> ClipReport:
        """The report on a clip; one that the same browser tab asked for earlier is cancelled.

        Raises:
            UserError: a run would refuse the clip, the report took too much time or memory, or too
                many are waiting.
        """
        stamp = Path(clip).stat().st_mtime_ns
        key = (clip, stamp, tuple(asdict(config).items()))
        answer = self.answers.get(key)
        if answer is None:
            self.cancel(tab)
            with self._turn(visitor, tab or uuid.uuid4().hex) as place:
                answer = self._ask(clip, config, place)
            with self.changed:
                self.answers[key] = answer
                while len(self.answers) > KEPT_ANSWERS:
                    self.answers.popitem(last=False)
        if "sentence" in answer:
            raise UserError(answer["sentence"], answer["hint"])
        checks = tuple(Check(**check) for check in answer["checks"])
        lists = {name: tuple(answer[name]) for name in ("used", "marks", "thumbnails")}
        return ClipReport(**answer | lists | {"checks": checks})

    def cancel(self, tab: str) -> None:
        """Stop the report of a browser tab, if there is one."""
        with self.changed:
            place = self.running.get(tab)
            if place is not None:
                place.stop("cancelled")

    def close(self) -> None:
        """End all processes."""
        with self.changed:
            for place in self.running.values():
                place.stop("cancelled")
            if self.spare is not None:
                _kill(self.spare)

    @contextlib.contextmanager
    def _turn(self, visitor: str, tab: str) -> Iterator[_Place]:
        """Wait for a place; raises UserError if there is none within the time of a report."""

        def free() -> bool:
            others = [place.visitor for place in self.running.values()]
            return len(others) < AT_ONCE and visitor not in others and tab not in self.running

        with self.changed:
            if self.waiting[visitor] >= WAITING or self.waiting.total() >= AT_ONCE * WAITING:
                raise BUSY
            self.waiting[visitor] += 1
            try:
                if not self.changed.wait_for(free, timeout=self.limits.preflight_seconds):
                    raise BUSY
                place = self.running[tab] = _Place(visitor)
            finally:
                self.waiting[visitor] -= 1
                if not self.waiting[visitor]:
                    del self.waiting[visitor]
        try:
            yield place
        finally:
            with self.changed:
                del self.running[tab]
                self.changed.notify_all()

    def _ask(self, clip: str, config: ClipConfig, place: _Place) -> dict[str, Any]:
        """The answer of a process of its own. Raises UserError if it was cancelled."""
        with self.changed:
            spare, self.spare = self.spare, None
            process = place.process = spare if spare and spare.poll() is None else _started()
            if place.stopped:
                place.stop(place.stopped)
        seconds = self.limits.preflight_seconds
        order = {
            "clip": clip,
            "config": asdict(config),
            "cpu_seconds": round(seconds),
            "memory_bytes": round(self.limits.preflight_gb * 1e9),
        }
        timer = threading.Timer(seconds, place.stop, ("timed out",))
        timer.start()
        line = ""
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
        finally:
            timer.cancel()
            _kill(process)
        with self.changed:
            if self.spare is None:
                self.spare = _started()
        if line.endswith("\n"):
            return json.loads(line)
        if place.stopped == "cancelled":
            raise LEFT
        name = Path(clip).name
        if place.stopped or process.returncode == -signal.SIGXCPU:
            sentence = f"{name} takes too long to look at."
            return {"sentence": sentence, "hint": "Use a shorter or a smaller clip."}
        sentence = f"{name} cannot be looked at: it is damaged, or it needs too much memory."
        return {"sentence": sentence, "hint": "Export it again, or scale it down."}


class _Place:
    """The place of a report that is being made."""

    def __init__(self, visitor: str):
        self.visitor = visitor
        self.process: subprocess.Popen | None = None
        self.stopped = ""  # the reason, if it was stopped

    def stop(self, reason: str) -> None:
        self.stopped = reason
        if self.process is not None:
            _kill(self.process)


def _started() -> subprocess.Popen:
    # Not a session of its own: Linux compares the niceness of processes of one session alone.
    return subprocess.Popen(
        [sys.executable, "-m", "page.preflight.process"], cwd=ROOT, env=os.environ | ONE_THREAD,
        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0,
    )  # fmt: skip


def _kill(process: subprocess.Popen) -> None:
    """End a process with all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
