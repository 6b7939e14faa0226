"""The names that this program has written into a run folder, which alone it replaces or deletes.

They stand in RUN/.ds4d/made, one JSON string per line, each before its file appears. So a file of
somebody else is told from one of ours, whatever its name, and what a killed process left half
written is known.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError

OWN = ".ds4d"  # folder in a run folder: the list of names, and the lock
PARTIAL = ".partial-"  # in the names of files that are not complete yet
# What runs were made of before the list was kept.
FORMER = (
    "clip", "frames", "multiview", "features.safetensors", "mesh.glb", "points.ply",
    "fourd.safetensors", "checkpoints", "videos", "exports", "previews", "evaluation", "run.json",
    "log.txt",
)  # fmt: skip
# Files that operating systems leave in any folder; they belong to nobody.
CLUTTER = {".DS_Store", "Thumbs.db", "desktop.ini"}


class Made:
    """The list of names of one run folder, as paths inside it."""

    def __init__(self, root: Path):
        self.root, self.path = root, root / OWN / "made"
        self.names: set[str] = set()
        if self.path.is_file():
            self.names = set(_lines(self.path))

    def claim(self, of_a_run: bool) -> None:
        """Begin the list, in a folder that is ours.

        Args:
            of_a_run: the folder is a run of an earlier version, which kept no list.
        """
        if self.path.is_file():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        if of_a_run:
            self.add(*(file for name in FORMER for file in files(self.root / name)))

    def add(self, *files: Path) -> None:
        """Note files that are about to appear."""
        new = sorted({self._name(file) for file in files} - self.names)
        with open(self.path, "a", encoding="utf-8") as out:
            out.writelines(json.dumps(name) + "\n" for name in new)
        self.names.update(new)

    def includes(self, path: Path) -> bool:
        """True for a file of ours, and for a folder that holds one."""
        name = self._name(path)
        return any(made == name or made.startswith(f"{name}/") for made in self.names)

    def check(self, target: Path) -> None:
        """Raise UserError if a file or folder that is to be replaced is not, as a whole, ours."""
        foreign = target if target.is_symlink() else next(self._foreign(target), None)
        if foreign is not None:
            raise UserError(
                f"{self._name(foreign)} in the run folder {self.root} is not a file of this run.",
                "Move it elsewhere, or choose another folder with --out.",
            )

    def remove(self, target: Path) -> None:
        """Delete what is ours of a file or folder."""
        for file in files(target):
            if self._name(file) in self.names:
                file.unlink(missing_ok=True)
        if target.is_dir() and not target.is_symlink() and not any(target.iterdir()):
            target.rmdir()

    def sweep(self) -> None:
        """Delete what a killed process left half written."""
        partial = {name for name in self.names if PARTIAL in name}
        for name in partial:
            remove(self.root / name)
        if partial:
            self.names -= partial
            lines = "".join(json.dumps(name) + "\n" for name in sorted(self.names))
            aside = self.path.with_suffix(".new")
            aside.write_text(lines, encoding="utf-8")
            os.replace(aside, self.path)

    def _foreign(self, target: Path) -> Iterator[Path]:
        for file in files(target):
            if self._name(file) not in self.names and file.name not in CLUTTER:
                yield file

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()


def of(path: Path) -> Made | None:
    """The list of the run folder that a path lies in; None outside of run folders."""
    root = next((folder for folder in path.parents if is_claimed(folder)), None)
    return Made(root) if root else None


def is_claimed(folder: Path) -> bool:
    """True for a run folder with a list of its names."""
    return (folder / OWN / "made").is_file()


def remove(path: Path) -> None:
    """Delete a file, or a folder with all its contents; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def files(path: Path) -> Iterator[Path]:
    """The file at a path, or all files, links and other things below a folder."""
    if path.is_dir() and not path.is_symlink():
        for base, folders, names in os.walk(path):
            links = [name for name in folders if (Path(base) / name).is_symlink()]
            yield from (Path(base) / name for name in (*names, *links))
    elif os.path.lexists(path):
        yield path


def _lines(path: Path) -> Iterator[str]:
    """The names in a list; a last line that was cut off is left out."""
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield str(json.loads(line))
        except ValueError:
            continue
