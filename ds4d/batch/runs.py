"""The folder of all runs of a batch."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError
from ..run.workspace import replacing

LOCK = ".batch-lock"


class Runs:
    """A folder of runs, on this machine or on a disk that all machines share."""

    def __init__(self, out: str):
        self.root = Path(out).absolute()

    def __str__(self) -> str:
        return str(self.root)

    @contextlib.contextmanager
    def run(self, name: str) -> Iterator[Path]:
        """The folder of one run, to work in."""
        yield self.root / name

    def keep(self, name: str, folder: Path) -> None:
        """Save checkpoints of a run that is at work, where its folder may be lost."""

    def read(self, name: str) -> bytes | None:
        """A file beside the runs; None where there is none."""
        path = self.root / name
        return path.read_bytes() if path.is_file() else None

    def write(self, name: str, data: bytes) -> None:
        """Write a file beside the runs, as a whole."""
        with replacing(self.root / name) as path:
            path.write_bytes(data)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second batch out of the folder. Raises UserError where one is at work."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The folder {self.root} cannot be made: {error.strerror}.",
                "Choose another folder with --out.",
            ) from error
        with open(self.root / LOCK, "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"Another batch is at work in {self.root}.",
                    "Wait until it has ended, or choose another folder with --out.",
                ) from error
            yield
