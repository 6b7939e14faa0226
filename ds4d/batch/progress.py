"""Progress of a batch on a terminal: one line that is drawn again, and a line per failure."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from typing import TextIO

from ..format import duration
from .tasks import STEPS

QUIET_INTERVAL = 30.0  # seconds between two lines if the output is not a terminal
HOUR = 3600.0


class Progress:
    """Counts the clips of a batch and writes how far it is.

    Args:
        total: number of clips of the batch.
        before: number of them that were done before it began.
        failed: number of them that failed before, and are not tried again.
    """

    def __init__(self, total: int, before: int, failed: int = 0, out: TextIO | None = None):
        self.total, self.done, self.failed = total, before, failed
        self.before, self.began = before, time.monotonic()
        self.out = out or sys.stderr
        self.live, self.written = self.out.isatty(), 0.0

    def end(self, name: str, stage: str, sentence: str, hint: str) -> None:
        """Count a clip that has ended; one that failed has a sentence."""
        if not sentence:
            self.done += 1
            return
        self.failed += 1
        self._line(f"{name}: {stage}: {sentence} {hint}".strip())

    def draw(self, stages: Counter[str], losses: int) -> None:
        """Draw the line: clips by stage, failures, clips an hour, time left."""
        now = time.monotonic()
        if not self.live and now - self.written < QUIET_INTERVAL:
            return
        self.written = now
        text = self.text(stages, losses, now - self.began)
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            self.out.write(f"\r\033[K{text[:width]}")
            self.out.flush()
        else:
            print(text, file=self.out)

    def text(self, stages: Counter[str], losses: int, seconds: float) -> str:
        """The line, after some seconds of work."""
        parts = [f"{self.done} of {self.total} clips"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        at_work = [f"{stage} {stages[stage]}" for stage in STEPS if stages[stage]]
        if at_work:
            parts.append(", ".join(at_work))
        if losses:
            parts.append(f"{losses} stages repeated")
        if self.done > self.before:  # those that failed took less
            each = seconds / (self.done - self.before)
            left = (self.total - self.done - self.failed) * each
            parts += [f"{HOUR / each:.3g} clips an hour", f"{duration(left)} left"]
        return " · ".join(parts)

    def close(self) -> None:
        if self.live:
            self.out.write("\r\033[K")
            self.out.flush()

    def _line(self, text: str) -> None:
        self.close()
        print("".join(c if c.isprintable() else "?" for c in text), file=self.out)
