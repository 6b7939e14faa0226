"""Prepared folders, whose cameras are known: cases, captures, and data of STAG4D and 4DGen.

case     input/0000.png ..., VIEWS/0000/0..5.png, cameras.json
STAG4D   ref/{i}_rgba.png, zero123/{i}_rgba/0..5.png
4DGen    NAME_pose0/{i}.png, NAME_sync/{i}_0_{0..15}_rgba.png
capture  views/CAMERA/0000.png ..., cameras.json (multiview/capture.py)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from ..errors import UserError

VIDEO_SUFFIXES = {
    ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".webm", ".mkv", ".avi", ".mpg", ".mpeg",
    ".ts", ".mts", ".m2ts", ".ogv", ".ogg", ".wmv", ".asf", ".flv", ".ivf", ".h264", ".hevc",
    ".y4m",
}  # fmt: skip
IMAGE_SUFFIXES = {
    ".png", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".bmp", ".jpg", ".jpeg", ".jpe",
    ".jfif",
}  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """A prepared folder. Its front frames must not be cropped, only resized."""

    root: Path  # folder of both the front frames and the views
    kind: Literal["case", "STAG4D", "4DGen", "capture"]
    fronts: tuple[Path, ...]  # the front frames in the order of time

    def views_folder(self, views: str) -> Path:
        """Folder of the views; `views` is its name in a case."""
        if self.kind == "STAG4D":
            return self.root / "zero123"
        if self.kind == "4DGen":
            return self.root / f"{self.fronts[0].parent.name.removesuffix('_pose0')}_sync"
        return self.root / views

    def view_paths(self, frame: int, views: str) -> list[Path]:
        """Expected files of the views of a front frame (4DGen: all 16)."""
        folder, front = self.views_folder(views), self.fronts[frame].stem
        if self.kind == "4DGen":
            return [folder / f"{front}_0_{view}_rgba.png" for view in range(16)]
        return [folder / front / f"{view}.png" for view in range(6)]


def find_prepared(path: Path) -> Prepared | None:
    """Recognize a prepared folder; None for anything else.

    Raises:
        UserError: the folder holds several 4DGen objects, or its front frames are missing.
    """
    if not path.is_dir():
        return None
    if path.name.endswith("_pose0"):
        return Prepared(path.parent, "4DGen", _fronts(path))
    if (path / "ref").is_dir() and (path / "zero123").is_dir():
        return Prepared(path, "STAG4D", _fronts(path / "ref"))
    if (path / "input").is_dir():
        return Prepared(path, "case", _fronts(path / "input"))
    if (path / "views").is_dir() and (path / "cameras.json").is_file():
        first = listed_cameras(path)[0]
        return Prepared(path, "capture", _fronts(path / "views" / first))
    poses = sorted(folder for folder in path.glob("*_pose0") if folder.is_dir())
    if len(poses) > 1:
        raise UserError(
            f"{path.name} holds several objects: {', '.join(pose.name for pose in poses)}.",
            "Give one of these folders.",
        )
    return Prepared(path, "4DGen", _fronts(poses[0])) if poses else None


def listed_cameras(root: Path) -> list[str]:
    """Names of the cameras in a capture's cameras.json, in its order, without held-out ones.

    "views/cam0" and "cam0" are the same camera; names that start with heldout/ or orbit/ are ground
    truth for the evaluation.

    Raises:
        UserError: the file cannot be understood, or lists no camera.
    """
    try:
        names = [
            entry["name"] for entry in json.loads((root / "cameras.json").read_text())["cameras"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The cameras.json of {root.name} cannot be understood: {error}.",
            'It should hold "cameras", a list of cameras with a name each.',
        ) from error
    names = [name for name in names if not name.startswith(("heldout/", "orbit/"))]
    if not names:
        raise UserError(f"The cameras.json of {root.name} lists no cameras.")
    return [name.removeprefix("views/") for name in names]


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in natural order: 2.png comes before 10.png."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted((path for path in files if not path.name.startswith(".")), key=natural)


def natural(path: PurePath) -> list[tuple[int, int | str]]:
    """A key by which paths are sorted as people number them."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(0, int(part)) if part.isdecimal() and part.isascii() else (1, part.lower())
            for part in parts if part]  # fmt: skip


def _fronts(folder: Path) -> tuple[Path, ...]:
    files = image_files(folder) if folder.is_dir() else []
    if not files:
        raise UserError(f"The folder {folder} holds no images.", "It should hold the front frames.")
    return tuple(files)
