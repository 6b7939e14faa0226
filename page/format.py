"""Durations and file sizes as text."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A measured duration: 0.4 s, 12 s, 3 min 5 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def rough_duration(seconds: float) -> str:
    """An estimated duration: 20 seconds, a minute, 3 hours."""
    for size, name in ((3600, "hour"), (60, "minute")):
        if seconds > 1.4 * size:
            return f"{round(seconds / size)} {name}s"
        if seconds > 0.8 * size:
            return f"a {name}" if name == "minute" else f"an {name}"
    return f"{max(5, 5 * round(seconds / 5))} seconds"


def file_size(size: float) -> str:
    """A number of bytes: 12 kB, 3 MB."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
