"""The zip of everything that a run has made and that a person may want to keep."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

# What goes in, in this order; checkpoints and features can be made again and stay out.
CONTENTS = (
    "fourd.safetensors",
    "run.json",
    "log.txt",
    "mesh.glb",
    "points.ply",
    "videos/*",
    "exports/ply/*",
    "frames/*",
    "multiview/**/*",
)
NOT_COMPRESSED = (".png", ".mp4", ".jpg", ".webp", ".safetensors")  # it would gain next to nothing
TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the same contents give the same zip; the earliest a zip knows


def members(root: Path) -> list[Path]:
    """The files of a run folder that go into the zip, in its order."""
    found = [sorted(path for path in root.glob(c) if path.is_file()) for c in CONTENTS]
    return [path for group in found for path in group if ".partial-" not in path.name]


def write_zip(target: Path, root: Path) -> Iterator[Path]:
    """Write the files of the run folder to a zip, yielding each one when it is in."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in members(root):
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), TIMESTAMP)
            entry.external_attr = 0o644 << 16  # an ordinary file that its owner may write
            stored = path.suffix in NOT_COMPRESSED
            entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w") as destination:
                shutil.copyfileobj(source, destination, 1 << 20)
            yield path
