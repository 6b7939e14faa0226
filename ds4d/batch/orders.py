"""Orders of a batch: the clips behind files, folders, patterns, addresses and manifests."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..clip.datasets import VIDEO_SUFFIXES, find_prepared, image_files, natural
from ..clip.stills import DAMAGED
from ..config import Config
from ..errors import UserError
from ..run import made
from ..run.workspace import content_key, source_files
from . import addresses, manifest
from .addresses import is_address

ANIMATIONS = {".gif", ".webp", ".png", ".apng", ".avif"}  # or still images: their content tells
NAME_LENGTH = 60  # characters, at most


@dataclass(frozen=True)
class Order:
    """A clip, its settings, and the name of its run in the folder of all runs."""

    name: str
    source: str  # a path, or an address in an object store
    config: Config

    @property
    def key(self) -> str:
        """Hash of the settings and of the clip's files, by their sizes and times of change.

        A finished run with the same key needs not be looked into. What is written into a clip
        without changing either is found by the content keys of the run.
        """
        files = [] if is_address(self.source) else source_files(Path(self.source))
        stats = [os.stat(file) for file in files if file.exists()]
        marks = [[stat.st_size, stat.st_mtime_ns] for stat in stats]
        return content_key(self.config, self.source, marks)


def collect(clips: tuple[str, ...], config: Config, names: dict[str, str]) -> list[Order]:
    """The orders behind the arguments of a command, in their order.

    Args:
        config: settings of all clips; rows of a manifest may change them.
        names: names that earlier batches gave, by `occurrence`: a clip keeps its run.

    Raises:
        UserError: an argument leads nowhere, or a manifest cannot be understood.
    """
    rows = [row for argument in clips for row in _rows(argument, config)]
    if not rows:
        raise UserError("There are no clips.", "Give files, folders, patterns or a manifest.")
    counts: Counter[str] = Counter()
    orders, taken = [], set(names.values())
    for row in rows:
        source = row.source if is_address(row.source) else str(Path(row.source).absolute())
        counts[source] += 1
        known = names.get(occurrence(source, counts[source]))
        name = known or _free(_plain(row.name or Path(source.rstrip("/")).stem), taken)
        taken.add(name)
        orders.append(Order(name, source, row.config))
    return orders


def occurrence(source: str, count: int) -> str:
    """The name by which the n-th order of the same clip is recognized."""
    return source if count == 1 else f"{source}#{count}"


def _rows(argument: str, config: Config) -> Iterator[manifest.Row]:
    if Path(argument).suffix.lower() not in manifest.SUFFIXES:
        rows = [manifest.Row(argument, config)]
    elif is_address(argument):
        rows = manifest.rows(argument, addresses.read(argument), config)
    else:
        rows = manifest.read(Path(argument), config)
    for row in rows:
        for clip in _clips(row.source):
            yield manifest.Row(clip, row.config, row.name)


def _clips(argument: str) -> list[str]:
    """The clips behind a path, an address or a pattern."""
    if is_address(argument):
        found = addresses.matches(argument) if "*" in argument else [argument]
        if not found:
            raise UserError(f"There is no clip {argument}.", "Check the pattern.")
        return found
    path = Path(argument)
    if path.is_dir():
        return [str(path)] if _is_clip(path) else _inside(path)
    if os.path.lexists(path):
        return [str(path)]
    matches = sorted(map(Path, glob.glob(argument, recursive=True)), key=natural)
    if not matches:
        raise UserError(f"There is no clip {argument}.", "Check the path or the pattern.")
    return [clip for match in matches for clip in _clips(str(match))]


def _inside(folder: Path) -> list[str]:
    """The clips that lie in a folder: files and folders of images."""
    entries = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=natural)
    found = [str(entry) for entry in entries if _is_clip(entry)]
    if not found:
        raise UserError(f"There are no clips in the folder {folder}.", "Check the path.")
    return found


def _is_clip(path: Path) -> bool:
    """True for a video, an animated image, a zip, and a folder that is one clip."""
    suffix = path.suffix.lower()
    if not path.is_dir():
        is_file_of_clip = suffix in VIDEO_SUFFIXES or suffix == ".zip"
        return is_file_of_clip or (suffix in ANIMATIONS and _moves(path))
    if made.is_claimed(path):  # a run folder
        return False
    try:
        if find_prepared(path) is not None:
            return True
    except UserError:  # several objects: a folder of clips
        return False
    images = image_files(path)
    others = any(p.suffix.lower() in {*VIDEO_SUFFIXES, ".gif", ".zip"} for p in path.iterdir())
    return bool(images) and not others and not _moves(images[0])


def _moves(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            return getattr(image, "is_animated", False)
    except DAMAGED:
        return False


def _plain(name: str) -> str:
    """A name that any file system and any web page takes."""
    kept = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:NAME_LENGTH]
    return kept.strip("._") or "clip"


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
