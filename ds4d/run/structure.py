"""Dataclasses of settings from the JSON that runs, jobs and assets keep of them."""

from __future__ import annotations

from typing import Any, TypeVar

from cattrs import ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn

from ..config import FourdConfig

Settings = TypeVar("Settings")
# Settings that came with something new: values by which earlier versions are repeated, where the
# default would change the result.
FORMER = {"color_knots": 0, "hard_frames": 0.0}


def structure(values: dict[str, Any], kind: type[Settings]) -> Settings:
    """Settings that `dataclasses.asdict` and JSON have stored, also by an earlier version.

    Settings that no longer exist are left out. Those that are missing, or whose value does not fit
    the type that they have now, take their default, except for those in FORMER.
    """
    try:
        return _converter.structure(values, kind)
    except ClassValidationError as error:
        return _converter.structure(_fitting(values, error), kind)


def _fitting(values: dict[str, Any], error: ClassValidationError) -> dict[str, Any]:
    """The values without those at fault."""
    kept = dict(values)
    for cause, note in error.group_exceptions()[0]:
        if isinstance(cause, ClassValidationError):
            kept[note.name] = _fitting(values[note.name], cause)
        else:
            del kept[note.name]
    return kept


def _plain(value: Any, kind: type) -> Any:
    """The value unchanged: 4 stays 4 where a float is expected, since content keys hash it."""
    numbers = (int, float)
    if not isinstance(value, numbers if kind in numbers else kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


_converter = Converter()
for _kind in (bool, int, float, str):
    _converter.register_structure_hook(_kind, _plain)
_fourd = make_dict_structure_fn(FourdConfig, _converter)
_converter.register_structure_hook(
    FourdConfig, lambda values, kind: _fourd({**FORMER, **values}, kind)
)
