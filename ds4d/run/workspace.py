"""The run folder: the record of its stages, content keys, and artifacts that are written whole."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import math
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ..errors import Busy, UserError
from . import made
from .events import STAGES
from .made import Made

LOCK = f"{made.OWN}/lock"  # in the run folder; holds the id of the process that is at work
READ_WHOLE = ("clip", "frames", "multiview", "exports/ply")  # folders that a run replaces or reads


class Workspace:
    """The folder of one run, and its record run.json.

    Args:
        root: a new or empty folder, or one that a run has written.
        ours: the caller has made the folder for a run, so that it may hold other files too.

    Raises:
        UserError: the folder cannot be made, or holds other things.
    """

    def __init__(self, root: Path | str, ours: bool = False):
        self.root = Path(root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            names = {path.name for path in self.root.iterdir()} - made.CLUTTER
        except OSError as error:
            raise UserError(
                f"The run folder {self.root} cannot be made: {error.strerror}.",
                "Choose another folder with --out.",
            ) from error
        self.record_path = self.root / "run.json"
        recorded = _read_record(self.record_path)
        # Runs of earlier versions are known by their record alone.
        self._former = recorded is not None and "ds4d" in recorded.get("versions", {})
        if names and not (ours or self._former or made.is_claimed(self.root)):
            raise UserError(
                f"The folder {self.root} is not empty, and not a run of this program.",
                "Choose a new or an empty folder with --out: nothing in this one was changed.",
            )
        self.record: dict[str, Any] = recorded or {"stages": {}}

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from working in the folder, and make it ready to be written to.

        Raises:
            Busy: another process is at work there.
            UserError: the folder holds files in places of ours that are not ours.
        """
        self._claim()
        with open(self.root / LOCK, "a+", encoding="utf-8") as file:
            self._take(file)
            self.record = _read_record(self.record_path) or {"stages": {}}
            names = Made(self.root)
            names.sweep()
            for name in (*READ_WHOLE, "log.txt", "run.json"):
                names.check(self.root / name)
            names.add(self.root / "log.txt")
            yield

    def _claim(self) -> None:
        Made(self.root).claim(of_a_run=self._former)

    def _take(self, file: TextIO) -> None:
        """Lock a file, which its process alone can hold: a lock ends with the process."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            process = file.read().strip()
            raise Busy(
                f"Another command is at work in {self.root} (process {process}).",
                "Wait until it has ended, or choose another folder with --out.",
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS):
                raise
            self.log("this file system has no locks: start one command at a time")
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    def finished(self, stage: str) -> dict[str, Any] | None:
        """The record of a stage whose artifacts are all there; None otherwise."""
        done = self.record["stages"].get(stage)
        if done is None or not all((self.root / name).exists() for name in done["artifacts"]):
            return None
        return done

    def finish(self, stage: str, key: str, artifacts: list[str], **facts: Any) -> None:
        """Record that a stage's artifacts (paths inside the folder) are whole, made under a key."""
        self.record["stages"][stage] = {"key": key, "artifacts": artifacts, **facts}
        self.save()

    def forget(self, stage: str) -> None:
        """Take a stage that is about to run again out of the record."""
        if self.record["stages"].pop(stage, None) is not None:
            self.save()

    def save(self) -> None:
        with self.replacing("run.json") as path:
            path.write_text(json.dumps(self.record, indent=1, default=str), encoding="utf-8")

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """A path to write to; it replaces the artifact as a whole when the block ends."""
        self._claim()
        with replacing(self.root / name) as path:
            yield path

    def remove(self, name: str) -> None:
        """Delete an artifact, as far as it is ours."""
        Made(self.root).remove(self.root / name)

    def log(self, line: str) -> None:
        with open(self.root / "log.txt", "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Write to a temporary path, then rename it: `target` appears whole or not at all.

    The target may be a file or a folder. The temporary path keeps the suffix, from which many
    writers choose their format.

    Raises:
        UserError: the target is in a run folder, and holds files that are not of the run.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f"{target.stem}{made.PARTIAL}{uuid.uuid4().hex[:8]}{target.suffix}")
    names = made.of(target)
    if names is not None:
        names.check(target)
        names.add(aside)
    try:
        yield aside
        if names is not None:
            names.add(*(target / file.relative_to(aside) for file in made.files(aside)))
        if target.is_dir():
            made.remove(target)  # os.replace cannot put a folder over a full one
        os.replace(aside, target)
    finally:
        made.remove(aside)


def _read_record(path: Path) -> dict[str, Any] | None:
    """The record of a run; None if the file is missing, damaged, or another program's."""
    try:
        record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        stages = record["stages"] if isinstance(record, dict) else None
        ours = all(
            name in STAGES and isinstance(done["key"], str) and _are_names(done["artifacts"])
            for name, done in stages.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return record if ours and isinstance(record.get("versions", {}), dict) else None


def _are_names(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def content_key(*parts: Any, prefix: hashlib._Hash | None = None) -> str:
    """Hash what decides an artifact: dataclasses, plain values that JSON can hold, bytes, paths.

    A path stands for its content: the bytes of a file, or the names and bytes of a folder's files.

    Args:
        prefix: hash of the parts before these, of `hash_parts`.
    """
    return hash_parts(*parts, prefix=prefix).hexdigest()[:32]


def hash_parts(*parts: Any, prefix: hashlib._Hash | None = None) -> hashlib._Hash:
    """Hash parts as `content_key` does, for keys that begin with the same ones: large files are
    read once."""
    digest = hashlib.sha256() if prefix is None else prefix.copy()
    for part in parts:
        _feed(digest, part)
    return digest


def _feed(digest: hashlib._Hash, part: Any) -> None:
    if isinstance(part, Path):
        for file in source_files(part):
            digest.update(os.fsencode(file.relative_to(part)))
            with open(file, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    elif isinstance(part, bytes):
        digest.update(part)
    elif dataclasses.is_dataclass(part):
        fields = dataclasses.asdict(part)
        digest.update(f"{type(part).__name__}{json.dumps(fields, sort_keys=True)}".encode())
    else:
        digest.update(json.dumps(part, sort_keys=True).encode())
    digest.update(b"\0")


def source_files(source: Path, most: float = math.inf) -> list[Path]:
    """The regular files of a folder, in the order of their names, or the one file.

    Run folders inside it are left out: they are made from it.

    Args:
        most: number of files after which to stop.
    """
    if not source.is_dir():
        return [source]
    found: list[Path] = []
    for base, folders, names in os.walk(source):
        folders[:] = [name for name in folders if not made.is_claimed(Path(base) / name)]
        found += [path for name in names if (path := Path(base) / name).is_file()]
        if len(found) > most:
            break
    return sorted(found)
