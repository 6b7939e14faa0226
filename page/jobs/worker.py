"""Computes one job: `python -m page.jobs.worker`, and the folder of the job as a line of input.

It is started before there is a job, so that what takes long to import is there when one comes. It
stops when its input ends: the page asks it to, or is gone. What it has to say it appends to the
job's events.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from PIL import Image

from ds4d.errors import UserError
from ds4d.run.events import Event
from ds4d.run.workspace import Workspace, replacing

from .store import EVENTS, LIVE, Job, load

SECONDS_BETWEEN_EVENTS = 0.3  # of steps that only count
PICTURE_WIDTH = 960  # pixels, at most
PICTURES_KEPT = 5  # of every stage, at least
SECONDS_KEPT = 60.0  # that a browser has to fetch a picture, once there are newer ones
GRACE = 8.0  # seconds that a stage has to come to its next event, once the page wants it to stop

log = logging.getLogger("ds4d.app")


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    from ds4d import pipeline  # takes seconds; nobody waits yet

    folder = sys.stdin.readline().strip()
    if not folder:
        return
    stop = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(stop,), daemon=True).start()
    job = load(Path(folder))
    compute(job, lambda: pipeline.generate(job.source, Workspace(folder), job.config), stop.is_set)


def _wait_for_the_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()
    time.sleep(GRACE)
    os._exit(1)


def compute(
    job: Job, work: Callable[[], Generator[Event, None, None]], stopped: Callable[[], bool]
) -> None:
    """Do the work and write its events down, the way it ended last."""
    with closing(Recorder(job.folder)) as recorder:
        try:
            with closing(work()) as events:
                for event in events:
                    recorder.write(event)
                    if stopped():
                        break
            ending = {"end": "cancelled" if stopped() else "done"}
        except Exception as error:
            ending = {"end": "failed"} | explain(error)
        recorder.end(ending)


def explain(error: Exception) -> dict[str, str]:
    """A sentence and a hint about what went wrong; a bug's own words are in the log alone."""
    if isinstance(error, UserError):
        return {"sentence": error.sentence, "hint": error.hint}
    reference = uuid.uuid4().hex[:8]
    log.error("run failed, reference %s", reference, exc_info=error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        sentence = "The memory of this machine is not enough for these settings."
        return {"sentence": sentence, "hint": "Choose fewer frames, smaller ones, or the preview."}
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return {"sentence": "The disk of this machine is full.", "hint": "Please come back later."}
    return {
        "sentence": f"Something broke that should not (reference {reference}).",
        "hint": "Another clip may work; what was finished is kept.",
    }


class Recorder:
    """Writes a job's events: one line of JSON each, pictures beside them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = open(folder / EVENTS, "a", buffering=1)  # the page has emptied it
        self.stage, self.written = "", 0.0

    def write(self, event: Event) -> None:
        """Write what is worth it: most steps of a long stage only count."""
        now = time.time()
        news = event.metrics or event.warning or event.skipped or event.preview is not None
        first_or_last = event.stage != self.stage or event.step == event.total
        if not (news or first_or_last or now - self.written > SECONDS_BETWEEN_EVENTS):
            return
        line = {"at": now, "stage": event.stage, "step": event.step, "total": event.total}
        if event.message:
            line["message"] = event.message
        if event.metrics:
            line["metrics"] = event.metrics
        line |= {name: True for name in ("warning", "skipped") if getattr(event, name)}
        if event.preview is not None:
            line["picture"] = self._keep(event)
        self._append(line)
        self.stage, self.written = event.stage, now

    def end(self, ending: dict[str, str]) -> None:
        self._append({"at": time.time()} | ending)

    def close(self) -> None:
        self.file.close()

    def _append(self, line: dict) -> None:
        self.file.write(json.dumps(line) + "\n")

    def _keep(self, event: Event) -> str:
        """Keep the newest pictures of a stage, each under a name of its own; its path in the job.

        An older one may be on its way to somebody, who may be slow.
        """
        name = f"{LIVE}/{event.stage}-{time.time_ns() // 1_000_000}.jpg"
        picture = Image.fromarray(event.preview)
        picture.thumbnail((PICTURE_WIDTH, 4 * PICTURE_WIDTH))
        with replacing(self.folder / name) as path:
            picture.save(path, quality=85)
        for old in sorted((self.folder / LIVE).glob(f"{event.stage}-*.jpg"))[:-PICTURES_KEPT]:
            if old.stat().st_mtime < time.time() - SECONDS_KEPT:
                old.unlink()
        return name


if __name__ == "__main__":
    main()
