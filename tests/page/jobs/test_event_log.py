"""The event log: pictures that can still be fetched, and lines that are complete."""

from __future__ import annotations

import json
import os

import numpy as np

from ds4d.run.events import Event
from page.jobs import event_log
from tests.page.jobs.conftest import order


def test_a_picture_can_be_fetched_for_a_while_after_newer_ones(store, monkeypatch):
    monkeypatch.setattr(event_log, "PICTURES_KEPT", 1)
    live = order(store).folder / "live"
    log = event_log.EventLog(live.parent)

    def kept_after(second: int) -> list[str]:
        monkeypatch.setattr(event_log.time, "time_ns", lambda: second * 10**9)
        log.write(Event("fourd", second, 9, preview=np.zeros((8, 8, 3), np.uint8)))
        return sorted(path.name for path in live.iterdir())

    assert kept_after(1) == ["fourd-1000.jpg"]
    assert kept_after(2) == ["fourd-1000.jpg", "fourd-2000.jpg"]
    for path in live.iterdir():
        os.utime(path, (0, 0))  # much later
    assert kept_after(3) == ["fourd-3000.jpg"]
    log.close()


def test_a_line_that_is_being_written_is_read_when_it_is_complete(store):
    job = order(store)
    line = json.dumps({"at": 1.0, "stage": "clip", "step": 1, "total": 1})
    (job.folder / event_log.EVENTS).write_text(line[:20])
    assert event_log.read(job.folder) == ([], 0) and event_log.last_line(job.folder) == {}
    (job.folder / event_log.EVENTS).write_text(line + "\n" + line[:5])
    lines, offset = event_log.read(job.folder)
    assert lines == [json.loads(line)] and offset == len(line) + 1
    assert event_log.read(job.folder, offset) == ([], offset)


def test_lines_that_a_crash_has_damaged_are_passed_over(store):
    job = order(store)
    lines = ['{"at": 1, "end": "done"}', '{"at": 2, "st', "[3]", "\ufffd", "[" * 100_000]
    (job.folder / event_log.EVENTS).write_text("\n".join(lines) + "\n")
    assert event_log.read(job.folder)[0] == [{"at": 1, "end": "done"}]
    assert event_log.last_line(job.folder)["end"] == "done"
