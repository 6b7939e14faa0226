"""The settings of the page and its API: fields of the config, with the config's documentation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from docstring_parser import parse_from_object

from ds4d.config import Config, Range
from ds4d.errors import UserError
from ds4d.preflight import ranges
from ds4d.presets import PRESETS

from .hardware import offers
from .limits import Limits

Value = float | str | None
PARTS = {  # part of the config -> its heading in the settings panel
    "clip": "Clip",
    "matting": "Mattes",
    "multiview": "Six views",
    "mesh": "Mesh",
    "fourd": "4D optimization",
    "videos": "Videos",
}


@dataclass(frozen=True)
class Setting:
    """One field of the config, and the range or the words that the page accepts for it.

    A field without either is a list of strings, which the page's editors fill in: it has no control
    of its own, and travels as its items with spaces between them.
    """

    part: str  # of the config, one of PARTS
    field: str
    label: str
    minimum: float | None = None
    maximum: float | str | None = None  # a number, or the name of one of the page's Limits
    engine: str = ""  # the engine of the six views that uses it; empty = all
    words: tuple[str, ...] = ()  # the values of a choice of words

    @property
    def hint(self) -> str:
        """The documentation of the field."""
        return field_docs(type(getattr(Config(), self.part)))[self.field]

    @property
    def is_list(self) -> bool:
        return self.maximum is None and not self.words

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that are offered: engines only if they can run here."""
        return tuple(word for word in self.words if offers(word))

    @property
    def is_integer(self) -> bool:
        return isinstance(self.value_in(Config()), int)

    def value_in(self, config: Config) -> Value:
        """The field's value as the page shows it; None is an empty control."""
        value = getattr(getattr(config, self.part), self.field)
        return " ".join(value) if self.is_list else value

    def apply(self, config: Config, value: Value, limits: Limits) -> Config:
        """The config with this value; None, and 0 where it is out of range, change nothing.

        Raises UserError for a value out of range, or a word that is not offered.
        """
        zero_is_none = not self.is_list and not self.words and self.minimum > 0
        if value is None or (value == 0 and zero_is_none):
            return config
        if self.words:
            self._check_word(value)
        elif self.is_list:
            value = tuple(str(value).replace(",", " ").split())
        else:
            self._check(value, limits)
        part = replace(getattr(config, self.part), **{self.field: value})
        return replace(config, **{self.part: part})

    def _check_word(self, value: Value) -> None:
        if value not in self.choices:
            raise UserError(
                f"{self.label} cannot be {value} here.", f"Choose one of {', '.join(self.choices)}."
            )

    def _check(self, value: Value, limits: Limits) -> None:
        limited = isinstance(self.maximum, str)
        allowed = Range(self.minimum, getattr(limits, self.maximum) if limited else self.maximum)
        if not ranges.is_number(value):
            raise UserError(f"{self.label} must be a number.", ranges.hint(allowed))
        if not ranges.fits(value, allowed):
            raise UserError(
                f"{self.label} cannot be {ranges.text(value)} here.", ranges.hint(allowed)
            )


SETTINGS = {  # by the name of the API's parameter, in the API's order
    "start": Setting("clip", "start", "Start", 0, "clip_seconds"),
    "end": Setting("clip", "end", "End", 0.05, "clip_seconds"),
    "frames": Setting("clip", "frames", "Frames", 2, "frames"),
    "size": Setting("clip", "size", "Frame size", 64, 512),
    "drawing_steps": Setting("multiview", "steps", "Denoising steps", 1, 100, "zero123plus"),
    "slant": Setting("multiview", "slant", "Slant", -60, 60, "inflate"),
    "depth": Setting("multiview", "depth", "Depth", 0.2, 3, "inflate"),
    "redraw": Setting("multiview", "redraw", "Frames to generate again"),
    "resolution": Setting("mesh", "resolution", "Grid resolution", 16, 256),
    "points": Setting("fourd", "points", "Initial Gaussians", 100, 50_000),
    "most_points": Setting("fourd", "max_gaussians", "Maximum Gaussians", 100, 100_000),
    "static_steps": Setting("fourd", "static_iterations", "Static steps", 1, 5000),
    "dynamic_steps": Setting("fourd", "dynamic_iterations", "Dynamic steps", 1, 30_000),
    "image_size": Setting("fourd", "image_size", "Training image size", 32, 512),
    "exclude": Setting("fourd", "exclude", "Views to leave out"),
    "video_size": Setting("videos", "size", "Video size", 64, 1024),
    "video_seconds": Setting("videos", "seconds", "Video length", 0.5, 12),
    "views_engine": Setting(
        "multiview", "engine", "Engine", words=("auto", "zero123plus", "l4gm", "inflate")
    ),
    "start_from": Setting("fourd", "start", "Start from", words=("points", "gaussians")),
    "mattes_engine": Setting("matting", "engine", "Engine", words=("auto", "sam2", "classical")),
}
PRESET_NOTES = {
    "preview": "a first look, tuned for two CPU cores",
    "standard": "sharper and slower, for patient CPUs",
    "paper": "the published sizes, for a large GPU",
}


def configure(
    limits: Limits,
    preset: str = "preview",
    seed: int | None = 0,
    mesh: str | None = None,  # path of a mesh that the visitor has uploaded
    **values: Value,  # by the names of SETTINGS; None keeps the preset's value
) -> Config:
    """The config of a run. Raises UserError for a value that the page does not accept."""
    if preset not in PRESETS:
        raise UserError("There is no such preset.", f"Choose one of {', '.join(PRESETS)}.")
    if not ranges.is_number(seed) or not ranges.fits(seed, ranges.of(Config)["seed"]):
        raise UserError("The seed must be a whole number, 0 or larger.", "Try 0.")
    config = replace(PRESETS[preset], seed=int(seed))
    clip = replace(
        config.clip,
        max_seconds=limits.clip_seconds,
        max_pixels=limits.clip_pixels,
        max_bytes=limits.clip_bytes,
    )
    config = replace(config, clip=clip, mesh=replace(config.mesh, file=mesh or ""))
    for name, value in values.items():
        config = SETTINGS[name].apply(config, value, limits)
    ranges.check(config)
    return config


def values_of(config: Config) -> dict[str, Value]:
    """The values of the preset, the seed and SETTINGS, as the page shows them."""
    values = {name: setting.value_in(config) for name, setting in SETTINGS.items()}
    return {"preset": config.preset, "seed": config.seed, **values}


def preset_changes(preset: str) -> dict[str, Value]:
    """The values that picking a preset sets: those in which the presets differ."""
    return {
        name: setting.value_in(PRESETS[preset])
        for name, setting in SETTINGS.items()
        if len({setting.value_in(config) for config in PRESETS.values()}) > 1
    }


def preset_choices() -> list[tuple[str, str]]:
    """Label and name of each preset."""
    choices = []
    for name, config in PRESETS.items():
        steps = config.fourd.static_iterations + config.fourd.dynamic_iterations
        label = (
            f"{name.capitalize()}: {PRESET_NOTES[name]}. "
            f"Up to {config.clip.frames} frames of {config.clip.size} px, {steps:,} steps."
        )
        choices.append((label, name))
    return choices


@cache
def field_docs(config: type) -> dict[str, str]:
    """The documentation of each field of a config class, by its name."""
    return {field.arg_name: field.description for field in parse_from_object(config).params}
