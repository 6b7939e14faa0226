"""Worker process that computes one job: `python -m page.jobs.worker LANE`.

It is started before there is a job, so that slow imports are done when one comes; a worker of the
lane of quick jobs leaves out those that its jobs do not need. It reads the
folder of its job from one line of standard input, appends its events to the job's event log, and
stops when its input is closed: the job was cancelled, or the page has ended.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from queue import Queue

from ds4d.run.events import STAGES, Event
from ds4d.run.workspace import Workspace

from .. import drafts
from ..errors import explain
from ..limits import Limits
from .event_log import EventLog
from .reading_limits import limited
from .store import Job, load

log = logging.getLogger("ds4d.page")
NICE = 5  # the page answers first, and clips are looked at last
GRACE = 8.0  # seconds for a stage to reach its next event after the job was cancelled


def main(lane: str) -> None:
    os.nice(NICE)
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    orders: Queue[str] = Queue()
    stop = threading.Event()
    threading.Thread(target=_listen, args=(orders, stop), daemon=True).start()
    if lane == "quick":  # takes seconds, so before the job comes
        from ds4d import animate  # noqa: F401
    else:
        _warm_up(stopped=lambda: not orders.empty())
    folder = orders.get()
    if not folder:
        return
    job = load(Path(folder))
    run = partial(limited, partial(work, job), Limits.from_environment())
    compute(job, run, stop.is_set)


def _warm_up(stopped: Callable[[], bool]) -> None:
    """Import the pipeline, and compile its kernels unless that is done."""
    from ds4d.pipeline.warm_up import warm_up

    try:
        warm_up(stopped)
    except Exception:  # of the machine, which a job will meet again and report
        log.exception("kernels could not be compiled ahead")


def work(job: Job, until: str = STAGES[-1]) -> Generator[Event, None, None]:
    """The events of a job while it is computed, up to a stage."""
    if job.drafting:
        return drafts.make(job.folder, job.folder / "input" / job.picture, job.config, job.wish)
    from ds4d import pipeline

    return pipeline.generate(job.source, Workspace(job.folder, ours=True), job.config, until)


def _listen(orders: Queue[str], stop: threading.Event) -> None:
    """Hand on the folder, and ask the run to stop once standard input is closed; end the process if
    it does not. Without a job there is no folder: the warm-up removes its files then, too."""
    folder = sys.stdin.readline().strip()
    orders.put(folder)
    if folder:
        sys.stdin.read()
    stop.set()
    time.sleep(GRACE)
    os._exit(1)


def compute(
    job: Job, run: Callable[[], Generator[Event, None, None]], cancelled: Callable[[], bool]
) -> None:
    """Run a job to its end and log its events; the last line says how it ended."""
    with closing(EventLog(job.folder)) as log:
        try:
            with closing(run()) as events:
                for event in events:
                    log.write(event)
                    if cancelled():
                        break
            log.end("cancelled" if cancelled() else "done")
        except Exception as error:
            log.end("failed", explain(error))


if __name__ == "__main__":
    main(sys.argv[1])
