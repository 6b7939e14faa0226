"""Durations and file sizes as text."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A measured duration: 0.4 s, 12 s, 3 min 5 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    largest = [(hours, "h"), (minutes, "min")] if hours else [(minutes, "min"), (seconds, "s")]
    return " ".join(f"{count} {unit}" for count, unit in largest if count)


def rough_duration(seconds: float) -> str:
    """An estimated duration: 20 seconds, a minute, 3 hours."""
    for size, name in ((3600, "hour"), (60, "minute")):
        if seconds > 1.4 * size:
            return f"{round(seconds / size)} {name}s"
        if seconds > 0.8 * size:
            return f"a {name}" if name == "minute" else f"an {name}"
    return f"{max(5, 5 * round(seconds / 5))} seconds"


def file_size(size: float) -> str:
    """A number of bytes: 12 kB, 88 MB, 5.58 GB."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
