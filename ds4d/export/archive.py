"""Zip archive of every result of a run that a user may want to keep."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..run.made import PARTIAL
from .context import ExportContext
from .readme import kind, readme

NAME = "exports/ds4d.zip"
COMPRESSED = (".png", ".mp4", ".jpg", ".webp", ".safetensors", ".ds4d", ".npz")
TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest of a zip; equal contents give equal archives


def write(context: ExportContext) -> Iterator[str]:
    """Write exports/ds4d.zip: the run folder's files and a README.txt that describes them."""
    root = context.workspace.root
    names = members(root)
    with context.workspace.replacing(NAME) as target, zipfile.ZipFile(target, "w") as archive:
        archive.writestr(_entry("README.txt"), readme(names, context.workspace.record))
        for name in names:
            entry = _entry(name)
            entry.file_size = (root / name).stat().st_size
            with (root / name).open("rb") as source, archive.open(entry, "w") as destination:
                shutil.copyfileobj(source, destination, 1 << 20)
            yield NAME


def members(root: Path) -> list[str]:
    """Files of a run folder that go into the archive: those that README.txt describes."""
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(
        (name for name in files if kind(name) is not None and PARTIAL not in name), key=kind
    )


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, TIMESTAMP)
    entry.external_attr = 0o644 << 16  # regular file, rw-r--r--
    stored = name.endswith(COMPRESSED)
    entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    return entry
