"""The check of all numbers among the settings, wherever they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, get_type_hints

from ..config import Range
from ..errors import UserError

ANY = Range(0, 1e9)  # of fields that state none


def check(config: Any, prefix: str = "--") -> None:
    """Check every number of a config and of its parts.

    Raises:
        UserError: a number is out of its range, or is none.
    """
    ranges = of(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        option = prefix + field.name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            check(value, f"{option}.")
        for number in _numbers(value):
            if not fits(number, ranges[field.name]):
                raise UserError(f"{option} cannot be {text(number)}.", hint(ranges[field.name]))


def hint(allowed: Range) -> str:
    """Advice to choose a value of a range."""
    if allowed is ANY:
        return "Choose 0 or a larger number."
    return f"Choose a value from {text(allowed.least)} to {text(allowed.most)}."


def of(kind: type) -> dict[str, Range]:
    """The range of each field of a config class."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Range)), ANY)
        for name, hint in hints.items()
    }


def is_number(value: Any) -> bool:
    """True for a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def fits(number: float, allowed: Range) -> bool:
    """True for a number within a range; nan is in none."""
    return allowed.least <= number <= allowed.most


def text(number: float) -> str:
    """A number as people write it, with thousands separated, cut off where it is endless."""
    shown = f"{number:,}" if isinstance(number, int) or number >= 1e4 else f"{number:g}"
    return shown.removesuffix(".0") if len(shown) < 30 else f"{shown[:12]}..."


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    elif is_number(value):
        yield value
