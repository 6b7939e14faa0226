"""Checks of a clip's path before anything is read, hashed or written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..clip.limits import check_bytes
from ..config import ClipConfig
from ..errors import UserError
from ..run.made import Made
from ..run.workspace import source_files

# Of a folder, a case or a capture, beside the limits for each of its files.
MAX_FILES = 100_000
FOLDER_BYTES = 50  # in largest files, for all of them together


def check(source: Path, config: ClipConfig) -> None:
    """Check that a path leads to a file or a folder of a size that is accepted.

    Raises:
        UserError: there is nothing, a device or a pipe, or more than the limits allow.
    """
    try:
        mode = os.stat(source).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        missing = isinstance(error, FileNotFoundError)
        sentence = f"There is no clip {source}" + ("." if missing else f": {reason}.")
        raise UserError(sentence, "Check the path.") from error
    if stat.S_ISDIR(mode):
        _check_folder(source, config.max_bytes)
    elif not stat.S_ISREG(mode):
        raise UserError(
            f"{source} is a device or a pipe, not a file.", "Give a file, or a folder of images."
        )
    else:
        check_bytes(source.name, os.stat(source).st_size, config)


def check_apart(source: Path, root: Path) -> None:
    """Raise UserError for a clip that a run folder holds as a part of its results."""
    source, root = source.resolve(), root.resolve()
    if source == root or (source.is_relative_to(root) and Made(root).includes(source)):
        raise UserError(
            f"The clip {source.name} is a part of the run folder {root.name} itself.",
            "Choose another folder with --out.",
        )


def _check_folder(folder: Path, most: int) -> None:
    files = source_files(folder, MAX_FILES)
    if len(files) > MAX_FILES:
        raise UserError(
            f"The folder {folder.name} holds more than {MAX_FILES:,} files.",
            "Put the images of the clip into a folder of their own.",
        )
    total = sum(os.stat(file).st_size for file in files)
    if total > FOLDER_BYTES * most:
        raise UserError(
            f"The folder {folder.name} is too large: {total / 1e9:,.1f} GB; at most "
            f"{FOLDER_BYTES * most / 1e9:,.1f} GB are accepted.",
            "Put the images of the clip into a folder of their own.",
        )
