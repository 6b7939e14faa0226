"""Manifests: lists of clips as text, CSV, JSON or JSONL, with settings of their own per clip.

    text    a path per line; lines that begin with # and empty ones are skipped
    CSV     a header; the column `clip`, optionally `name`, and a column per setting; an empty cell
            leaves the setting as it is
    JSON    a list of paths, or of objects {"clip": ..., "name": ..., "clip.frames": 12, ...}
    JSONL   such an object per line

Settings are named as the options of `generate`, without the dashes. Paths are relative to the
manifest. `preset` begins with all settings of that preset, whatever the command line says.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tyro

from ..config import Config
from ..errors import UserError
from ..presets import PRESETS
from .addresses import is_address

SUFFIXES = (".txt", ".csv", ".json", ".jsonl")
MOST_BYTES = 100_000_000
EXAMPLE = 'Each clip needs a path: {"clip": "fox.mp4", "clip.frames": 12} in JSON.'


@dataclass(frozen=True)
class Row:
    """A clip of a manifest with its settings."""

    source: str
    config: Config
    name: str = ""  # of its run; empty = the clip's


def read(path: Path, config: Config) -> list[Row]:
    """The rows of a manifest on the disk; see `rows`."""
    if not path.is_file():
        raise UserError(f"There is no manifest {path}.", "Check the path.")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path.name} is too large for a manifest.", "Split it into several.")
    return rows(str(path), path.read_bytes(), config)


def rows(place: str, data: bytes, config: Config) -> list[Row]:
    """The rows of a manifest at a path or an address.

    Args:
        config: settings that a row does not name.

    Raises:
        UserError: it cannot be read, a row has no clip, or a setting does not exist.
    """
    folder, _, name = place.rpartition("/")
    try:
        entries = _entries(Path(name).suffix.lower(), data.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, csv.Error, RecursionError) as error:
        raise UserError(
            f"The manifest {name} cannot be read: {error}.",
            "A manifest is a text file with a path per line, or CSV, JSON or JSONL.",
        ) from error
    return [
        _row(folder, f"entry {number} of {name}", entry, config)
        for number, entry in enumerate(entries, 1)
    ]


def _entries(suffix: str, text: str) -> list[dict]:
    if suffix == ".txt":
        lines = (line.strip() for line in text.splitlines())
        return [{"clip": line} for line in lines if line and not line.startswith("#")]
    if suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text), strict=True))
    if suffix == ".jsonl":
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    else:
        found = json.loads(text)
    if not isinstance(found, list):
        raise ValueError("it is no list")
    return [entry if isinstance(entry, dict) else {"clip": entry} for entry in found]


def _row(folder: str, place: str, entry: dict, config: Config) -> Row:
    """A row from its entry; paths are relative to the folder."""
    settings = {key: value for key, value in entry.items() if value not in (None, "")}
    clip, name = settings.pop("clip", None), settings.pop("name", "")
    if not isinstance(clip, str) or "\0" in clip or not isinstance(name, str):
        raise UserError(f"There is no path of a clip in {place}.", EXAMPLE)
    preset = settings.pop("preset", None)
    if preset is not None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise UserError(
                f"There is no preset {preset!r}, in {place}.", f"Presets: {', '.join(PRESETS)}."
            )
        config = PRESETS[preset]
    for key, value in settings.items():
        try:
            config = _changed(config, str(key), *_words(value))
        except ValueError as error:
            raise UserError(
                f"The setting {str(key)!r} with {value!r} is not understood, in {place}.",
                "Settings are the options of generate without their dashes, such as clip.frames.",
            ) from error
    absolute = is_address(clip) or clip.startswith(("/", "~"))
    source = clip if absolute or not folder else f"{folder}/{clip}"
    return Row(source if is_address(source) else str(Path(source).expanduser()), config, name)


def _words(value: object) -> Iterable[str]:
    values = value if isinstance(value, list) else [value]
    return [str(item) for item in values]


@cache
def _changed(config: Config, name: str, *words: str) -> Config:
    """A config with one option set as on the command line. Raises ValueError where it refuses."""
    switch = words in (("True",), ("False",), ("true",), ("false",))
    if switch:  # a switch has two options and takes no word
        start, dot, end = name.rpartition(".")
        off = words[0].lower() == "false"
        arguments = [f"--{start}{dot}{'no-' if off else ''}{end}"]
    else:
        arguments = [f"--{name}", *words]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return tyro.cli(Config, default=config, args=arguments)
    except SystemExit as error:
        raise ValueError(name) from error
