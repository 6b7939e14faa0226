"""Limits of what is read, all of which are checked before anything is decoded."""

from __future__ import annotations

import math
from pathlib import Path

from ..config import ClipConfig
from ..errors import UserError

# Pixels x frames of an animated image: its frames build on each other, and Pillow decodes them one
# by one at some 100 million pixels per second.
ANIMATION_PIXELS = 1_000_000_000


def check_bytes(name: str, size: int, config: ClipConfig) -> None:
    """Raise UserError for a file that is larger than the limit."""
    if size > config.max_bytes:
        raise UserError(
            f"{name} is too large: {size / 1e6:.0f} MB; at most {config.max_bytes / 1e6:.0f} MB "
            "are accepted.",
            "Cut the clip or scale it down.",
        )


def check_seconds(name: str, seconds: float, config: ClipConfig) -> None:
    """Raise UserError for a clip that is longer than the limit."""
    most = config.max_seconds
    if seconds > most + 1e-6:
        digits = next((n for n in (1, 2, 3) if round(seconds, n) > most), 6)
        raise UserError(
            f"{name} lasts {round(seconds, digits):g} s; at most {most:g} s are accepted.",
            "Cut out the few seconds in which the object moves.",
        )


def check_pixels(name: str, width: int, height: int, config: ClipConfig) -> None:
    """Raise UserError for frames that are larger than the limit."""
    if width * height > config.max_pixels:
        raise UserError(
            f"The frames of {name} are too large: {width} x {height} pixels.",
            f"Scale them to at most {config.max_pixels / 1e6:.1f} million pixels.",
        )


def check_animation(name: str, size: tuple[int, int], count: int) -> None:
    """Raise UserError for an animated image whose frames together are too many pixels."""
    if math.prod(size) * count > ANIMATION_PIXELS:
        raise UserError(
            f"{name} unpacks to too much: {count} frames of {size[0]} x {size[1]} pixels.",
            "Scale it down, cut it, or give it as a video.",
        )


def check_exists(path: Path) -> None:
    """Raise UserError unless the path is a folder or a regular file that is not empty."""
    try:
        if not path.exists():
            raise UserError(f"There is nothing at {path}.", "Check the path.")
        if not (path.is_dir() or path.is_file()):
            raise UserError(f"{path.name} is no file.", "Give a video, images or a folder of them.")
        if path.is_file() and path.stat().st_size == 0:
            raise UserError(f"{path.name} is empty.", "Copy or export it again.")
    except (OSError, ValueError) as error:  # a name too long, or with a zero in it
        raise UserError(f"There is no clip at {str(path)[:80]}.", "Check the path.") from error
