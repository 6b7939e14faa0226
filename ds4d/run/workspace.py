"""The run folder: the record of its stages, content keys, and artifacts that are written whole."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError


class Workspace:
    """The folder of one run, and its record run.json.

    Raises:
        UserError: the folder cannot be made.
    """

    def __init__(self, root: Path | str):
        self.root = Path(root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The run folder {self.root} cannot be made: {error.strerror}.",
                "Choose another folder with --out.",
            ) from error
        self.record_path = self.root / "run.json"
        self.record: dict[str, Any] = self._read_record()
        for stale in self.root.glob("**/*.partial-*"):  # left by a process that was killed
            _remove(stale)

    def _read_record(self) -> dict[str, Any]:
        if not self.record_path.exists():
            return {"stages": {}}
        try:
            return json.loads(self.record_path.read_text())
        except json.JSONDecodeError:
            return {"stages": {}}  # the artifacts are then made again

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
            path.write_text(json.dumps(self.record, indent=1, default=str))

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """A path to write to; it replaces the artifact as a whole when the block ends."""
        with replacing(self.root / name) as path:
            yield path

    def log(self, line: str) -> None:
        with open(self.root / "log.txt", "a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Write to a temporary path, then rename it: `target` appears whole or not at all.

    The target may be a file or a folder. The temporary path keeps the suffix, from which many
    writers choose their format.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f"{target.stem}.partial-{uuid.uuid4().hex[:8]}{target.suffix}")
    try:
        yield aside
        if target.is_dir():
            shutil.rmtree(target)  # os.replace cannot put a folder over a full one
        os.replace(aside, target)
    finally:
        _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
        files = sorted(p for p in part.rglob("*") if p.is_file()) if part.is_dir() else [part]
        for file in files:
            digest.update(str(file.relative_to(part)).encode())
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
