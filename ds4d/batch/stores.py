"""Runs in an object store (s3://, gs://, hf:// and what else fsspec knows).

A stage works in a folder of its machine: the run is read before, and written back after it. Objects
appear whole, and run.json is the last of them: a stage that it names is complete. Before files of
a stage are replaced, the stage is taken out of the run.json in the store, as on a disk.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..run import made
from ..run.workspace import LOCK
from .addresses import errors, filesystem, is_address
from .orders import Order
from .runs import Runs

RECORD = "run.json"
CHECKPOINTS = "checkpoints"
KEEP_SECONDS = 60.0  # between two uploads of a checkpoint


class ObjectRuns(Runs):
    """Runs below an address of an object store.

    There are no locks: one batch at a time may work below an address.
    """

    def __init__(self, out: str):
        self.address = out.rstrip("/")
        self.kept: dict[str, float] = {}  # times of the last uploads of checkpoints, by run

    def __str__(self) -> str:
        return self.address

    @contextlib.contextmanager
    def run(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="ds4d-run-") as temporary:
            folder = Path(temporary) / name
            self.pull(name, folder)
            before = _states(folder)
            record = _record(folder)
            try:
                yield folder
            finally:  # also of a stage that was stopped or failed: its checkpoints and its log
                self._push(name, folder, before, record)

    def keep(self, name: str, folder: Path) -> None:
        if time.monotonic() - self.kept.get(name, 0.0) < KEEP_SECONDS:
            return
        self.kept[name] = time.monotonic()
        files = {f"{name}/{file}": folder / file for file in _states(folder / CHECKPOINTS, folder)}
        if files:
            self.upload(files)

    def read(self, name: str) -> bytes | None:
        with self._errors(), contextlib.suppress(FileNotFoundError):
            return self._files().cat_file(self._path(name))
        return None

    def write(self, name: str, data: bytes) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "data"
            file.write_bytes(data)
            self.upload({name: file})

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        with self._errors():
            self._files()  # the address and its library are there
        yield

    def pull(self, name: str, folder: Path) -> None:
        """Copy a run from the store into a folder that does not exist yet."""
        with self._errors():
            files, root = self._files(), self._path(name)
            found = {path.removeprefix(root).lstrip("/"): path for path in files.find(root)}
            targets = {folder / inside: path for inside, path in found.items() if inside}
            for target in targets:
                if not target.resolve().is_relative_to(folder.resolve()):
                    raise UserError(f"{name} in {self} holds names that lead out of it.")
                target.parent.mkdir(parents=True, exist_ok=True)
            if targets:
                files.get(list(targets.values()), [str(target) for target in targets])

    def upload(self, files: dict[str, Path]) -> None:
        """Write files, by their names below the address."""
        with self._errors():
            names = [self._path(name) for name in files]
            self._files().put([str(file) for file in files.values()], names)

    def delete(self, names: list[str]) -> None:
        """Delete files below the address; those that are gone already are passed over."""
        with self._errors(), contextlib.suppress(FileNotFoundError):
            self._files().rm([self._path(name) for name in names])

    def _push(self, name: str, folder: Path, before: dict[str, Any], record: dict) -> None:
        """Write what has changed in a run folder back to the store."""
        after = _states(folder)
        changed = [file for file, state in after.items() if before.get(file) != state]
        stages = _record(folder).get("stages", {})
        kept = {k: v for k, v in record.get("stages", {}).items() if stages.get(k) == v}
        if kept != record.get("stages", {}):
            self.write(f"{name}/{RECORD}", json.dumps({**record, "stages": kept}).encode())
        files = {f"{name}/{file}": folder / file for file in changed if file != RECORD}
        gone = [f"{name}/{file}" for file in before if file not in after]
        last = {f"{name}/{RECORD}": folder / RECORD} if RECORD in changed else {}
        self.commit(files, gone, last)

    def commit(self, files: dict[str, Path], gone: list[str], last: dict[str, Path]) -> None:
        """Write files, delete others, and then write the record."""
        if files:
            self.upload(files)
        if gone:
            self.delete(gone)
        if last:
            self.upload(last)

    def _files(self) -> Any:
        return filesystem(self.address)[0]

    def _path(self, name: str) -> str:
        return f"{filesystem(self.address)[1].rstrip('/')}/{name}"

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return errors(self.address)


@contextlib.contextmanager
def local_clip(order: Order) -> Iterator[Path]:
    """The clip of an order as a file or folder of this machine."""
    if not is_address(order.source):
        yield Path(order.source)
        return
    with tempfile.TemporaryDirectory(prefix="ds4d-clip-") as temporary:
        with errors(order.source):
            files, path = filesystem(order.source)
            target = Path(temporary) / Path(path.rstrip("/")).name
            files.get(path, str(target), recursive=files.isdir(path))
        yield target


def _states(folder: Path, root: Path | None = None) -> dict[str, tuple[int, int]]:
    """Time of change and size of the files of a run that are complete, by their names in it."""
    names = {file.relative_to(root or folder).as_posix(): file for file in made.files(folder)}
    return {
        name: (file.stat().st_mtime_ns, file.stat().st_size)
        for name, file in names.items()
        if name != LOCK and made.PARTIAL not in name and file.is_file()
    }


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record if isinstance(record["stages"], dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
