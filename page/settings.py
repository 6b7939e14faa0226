"""The settings that the page offers: a few of the config's fields, in the config's own words."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, replace
from itertools import pairwise

import gradio as gr

from ds4d.config import PRESETS, Config
from ds4d.errors import UserError

from .limits import LIMITS

Value = float | str | None


@dataclass(frozen=True)
class Setting:
    """One field of one part of the config, and what this page accepts for it.

    Without limits it is a list of words, which the page shows with spaces between them.
    """

    part: str
    field: str
    label: str
    smallest: float | None = None
    largest: float | None = None

    @property
    def hint(self) -> str:
        """The sentence under the field in the config."""
        return _hints(type(getattr(Config(), self.part)))[self.field]

    @property
    def words(self) -> bool:
        return self.largest is None

    @property
    def whole(self) -> bool:
        return isinstance(self.shown(Config()), int)

    def shown(self, config: Config) -> Value:
        """The field's value as the page shows it; None is an empty field."""
        value = getattr(getattr(config, self.part), self.field)
        return " ".join(value) if self.words else value

    def put(self, config: Config, value: Value) -> Config:
        """The config with the visitor's value; None, and 0 where it cannot be, change nothing.

        Raises UserError for a value that this page does not accept.
        """
        if value is None or (value == 0 and not self.words and self.smallest > 0):
            return config
        if self.words:
            value = tuple(value.replace(",", " ").split())
        elif not self.smallest <= value <= self.largest:
            raise UserError(
                f"{self.label} cannot be {value:g} here.",
                f"Choose a value from {self.smallest:g} to {self.largest:g}.",
            )
        part = replace(getattr(config, self.part), **{self.field: value})
        return replace(config, **{self.part: part})


SETTINGS = {
    "start": Setting("clip", "start", "Start", 0, LIMITS.clip_seconds),
    "end": Setting("clip", "end", "End", 0.05, LIMITS.clip_seconds),
    "frames": Setting("clip", "frames", "Frames", 2, LIMITS.frames),
    "size": Setting("clip", "size", "Frame size", 64, 512),
    "drawing_steps": Setting("multiview", "steps", "Drawing steps", 1, 100),
    "slant": Setting("multiview", "slant", "Slant", -60, 60),
    "depth": Setting("multiview", "depth", "Depth", 0.2, 3),
    "redraw": Setting("multiview", "redraw", "Frames to draw once more"),
    "resolution": Setting("mesh", "resolution", "Mesh cells", 16, 256),
    "points": Setting("fourd", "points", "Gaussians at the start", 100, 50_000),
    "most_points": Setting("fourd", "max_gaussians", "Gaussians at most", 100, 100_000),
    "static_steps": Setting("fourd", "static_iterations", "Static steps", 1, 5000),
    "dynamic_steps": Setting("fourd", "dynamic_iterations", "Dynamic steps", 1, 30_000),
    "image_size": Setting("fourd", "image_size", "Training images", 32, 512),
    "exclude": Setting("fourd", "exclude", "Views to leave out"),
    "video_size": Setting("videos", "size", "Video size", 64, 1024),
    "video_seconds": Setting("videos", "seconds", "Video length", 0.5, 12),
}
PRESET_WORDS = {
    "preview": "a first look, made for two CPU cores",
    "standard": "sharper and slower, for patient CPUs",
    "paper": "the published sizes, for a large GPU",
}


def configure(
    preset: str, seed: int | None, values: dict[str, Value], mesh: str | None = None
) -> Config:
    """The preset with the visitor's values; None keeps the preset's own.

    `mesh` is the path of a mesh that the visitor brought.

    Raises UserError for a value that this page does not accept.
    """
    if seed is None or seed < 0:
        raise UserError("The seed has to be a whole number from 0 on.", "0 is as good as any.")
    config = replace(PRESETS[preset], seed=seed)
    clip = replace(
        config.clip, max_seconds=LIMITS.clip_seconds, max_pixels=LIMITS.clip_pixels,
        max_bytes=LIMITS.clip_bytes,
    )  # fmt: skip
    config = replace(config, clip=clip)
    for name, value in values.items():
        config = SETTINGS[name].put(config, value)
    return replace(config, mesh=replace(config.mesh, file=mesh or ""))


def shown_values(config: Config) -> list[Value]:
    """What the page shows for each of SETTINGS."""
    return [setting.shown(config) for setting in SETTINGS.values()]


def preset_values(preset: str) -> list[Value]:
    """What the preset says for each of SETTINGS."""
    return shown_values(PRESETS[preset])


def changed_values(preset: str) -> list:
    """The same for a page on which another preset is picked: what all presets agree on stays as the
    visitor has set it."""
    return [
        setting.shown(PRESETS[preset])
        if len({setting.shown(config) for config in PRESETS.values()}) > 1
        else gr.skip()
        for setting in SETTINGS.values()
    ]


def preset_choices() -> list[tuple[str, str]]:
    """Label and name of each preset; the figures are the preset's own."""
    choices = []
    for name, config in PRESETS.items():
        steps = config.fourd.static_iterations + config.fourd.dynamic_iterations
        label = (
            f"{name.capitalize()}: {PRESET_WORDS[name]}. "
            f"Up to {config.clip.frames} frames of {config.clip.size} px, {steps:,} steps."
        )
        choices.append((label, name))
    return choices


def _hints(cls: type) -> dict[str, str]:
    """The sentence under each field of a dataclass, as the command line shows it, too."""
    body = ast.parse(inspect.getsource(cls)).body[0].body
    return {
        above.target.id: ast.literal_eval(below.value)
        for above, below in pairwise(body)
        if isinstance(above, ast.AnnAssign) and isinstance(below, ast.Expr)
    }
