"""The event log of a job: one line of JSON per event, written by the worker, read by the page."""

from __future__ import annotations

import json
import time
from pathlib import Path

from PIL import Image

from ds4d.errors import UserError
from ds4d.run.events import Event
from ds4d.run.workspace import replacing

from .clock import now

EVENTS, LIVE = "events.jsonl", "live"  # the log, and the folder of its pictures
SECONDS_BETWEEN_EVENTS = 0.3  # of steps that report nothing but their number
PICTURE_WIDTH = 960  # pixels, at most
PICTURES_KEPT = 5  # of every stage, at least
SECONDS_KEPT = 60.0  # time for a browser to fetch a picture after newer ones were written


class EventLog:
    """Appends the events of a run to the log in a job's folder; previews become JPEG files."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = open(folder / EVENTS, "a", buffering=1)  # emptied when the job was queued
        self.stage, self.written = "", 0.0

    def write(self, event: Event) -> None:
        """Append an event; steps that only count are thinned out."""
        at = now()
        informative = event.metrics or event.warning or event.skipped or event.preview is not None
        first_or_last = event.stage != self.stage or event.step == event.total
        if not (informative or first_or_last or at - self.written > SECONDS_BETWEEN_EVENTS):
            return
        line = {"at": at, "stage": event.stage, "step": event.step, "total": event.total}
        if event.message:
            line["message"] = event.message
        if event.metrics:
            line["metrics"] = event.metrics
        line |= {name: True for name in ("warning", "skipped") if getattr(event, name)}
        if event.preview is not None:
            line["picture"] = self._save_picture(event)
        self._append(line)
        self.stage, self.written = event.stage, at

    def end(self, state: str, error: UserError | None = None) -> None:
        """Append the last line: "done", "cancelled", or "failed" with its error."""
        reason = {"sentence": error.sentence, "hint": error.hint} if error else {}
        self._append({"at": now(), "end": state, **reason})

    def close(self) -> None:
        self.file.close()

    def _append(self, line: dict) -> None:
        self.file.write(json.dumps(line) + "\n")

    def _save_picture(self, event: Event) -> str:
        """Save a preview under a new name; returns its path in the job's folder.

        Older pictures stay for a while: a slow browser may still be fetching one.
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


def read(folder: Path, offset: int = 0) -> tuple[list[dict], int]:
    """The complete lines of a log from a byte offset on, and the offset of the next read."""
    with open(folder / EVENTS, "rb") as file:
        file.seek(offset)
        complete, newline, _ = file.read().rpartition(b"\n")
    lines = [line for text in complete.splitlines() if (line := _parsed(text))]
    return lines, offset + len(complete + newline)


def _parsed(text: bytes) -> dict:
    """A line of a log; empty for one that a full disk or a crash has damaged."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return line if isinstance(line, dict) else {}


def last_line(folder: Path) -> dict:
    """The last complete line of a log, which says how the run ended; empty where there is none."""
    lines, _ = read(folder)
    return lines[-1] if lines else {}
