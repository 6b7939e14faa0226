"""The worker: what a page sees of the events of a run, and of how it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from ds4d.run.events import Event
from page.jobs import event_log, worker
from page.outputs import TabState
from tests.page.jobs.conftest import order
from tests.paths import ROOT


def computed(store, events, cancelled=lambda: False):
    """A job whose pipeline yields these events, and its progress as a page shows it."""
    job = order(store)
    worker.compute(job, events, cancelled)
    tab = TabState()
    tab.read(job)
    return job, tab.progress


def test_a_page_that_comes_later_sees_all_of_it(store):
    picture = np.full((40, 120, 3), 200, np.uint8)

    def events():
        yield Event("clip", 1, 1)
        yield Event("matting", 0, 2, "It touches the edge.", warning=True)
        for step in range(0, 100, 20):
            yield Event("fourd", step, 100, "all frames", picture, {"loss": 1.0, "psnr": 20.0})

    job, progress = computed(store, events)
    assert "It touches the edge." in progress.strip()
    assert len(progress.stages["fourd"].rows) == 5
    address = re.search(r'src="gradio_api/file=([^"?]+)', progress.live())[1]
    assert Path(address).stat().st_size and "20.0 dB" in progress.live()


def test_a_bug_shows_a_reference_that_the_log_has_too(store, caplog):
    def events():
        yield Event("clip", 0, 1)
        raise ZeroDivisionError("secret inner words")

    job, progress = computed(store, events)
    ending = event_log.last_line(job.folder)
    reference = re.search(r"reference (\w{8})", ending["sentence"])[1]
    assert reference in caplog.text and "secret inner words" in caplog.text
    assert "secret inner words" not in (job.folder / event_log.EVENTS).read_text()
    assert 'data-state="failed"' in progress.strip()


def test_stopping_closes_the_work(store):
    closed = []

    def events():
        try:
            while True:
                yield Event("clip", 0, 1)
        finally:
            closed.append(True)

    _, progress = computed(store, events, cancelled=lambda: True)
    assert closed and progress.stages["clip"].state == "stopped"


@pytest.mark.slow
def test_a_worker_lets_the_page_come_first_and_leaves_no_files_without_a_job(tmp_path):
    """The page ends while its worker compiles kernels."""
    begun = subprocess.Popen(
        [sys.executable, "-m", "page.jobs.worker", "runs"], cwd=ROOT, stdin=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("ds4d-*")):
        assert time.monotonic() < deadline and begun.poll() is None
        time.sleep(0.05)
    assert psutil.Process(begun.pid).nice() == min(19, os.nice(0) + worker.NICE)
    begun.stdin.close()
    assert begun.wait(60) == 0
    assert not list(tmp_path.glob("ds4d-*"))
