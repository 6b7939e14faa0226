"""The settings that the page offers: a few of the config's fields, in the config's own words."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, replace
from itertools import pairwise

from ds4d.config import PRESETS, Config
from ds4d.errors import UserError


@dataclass(frozen=True)
class Setting:
    """One field of one part of the config, and what this page accepts for it."""

    part: str
    field: str
    label: str
    smallest: float
    largest: float

    @property
    def hint(self) -> str:
        """The sentence under the field in the config."""
        return _hints(type(getattr(Config(), self.part)))[self.field]

    @property
    def whole(self) -> bool:
        return isinstance(self.value("preview"), int)

    def value(self, preset: str) -> float:
        return getattr(getattr(PRESETS[preset], self.part), self.field)


SETTINGS = {
    "frames": Setting("clip", "frames", "Frames", 2, 96),
    "size": Setting("clip", "size", "Frame size", 64, 512),
    "drawing_steps": Setting("multiview", "steps", "Drawing steps", 1, 100),
    "resolution": Setting("mesh", "resolution", "Mesh cells", 16, 256),
    "points": Setting("fourd", "points", "Gaussians at the start", 100, 50_000),
    "most_points": Setting("fourd", "max_gaussians", "Gaussians at most", 100, 100_000),
    "static_steps": Setting("fourd", "static_iterations", "Static steps", 1, 5000),
    "dynamic_steps": Setting("fourd", "dynamic_iterations", "Dynamic steps", 1, 30_000),
    "coarse_size": Setting("fourd", "coarse_size", "First images", 32, 512),
    "fine_size": Setting("fourd", "fine_size", "Last images", 32, 512),
    "video_size": Setting("videos", "size", "Video size", 64, 1024),
    "video_seconds": Setting("videos", "seconds", "Video length", 0.5, 12),
}
PRESET_WORDS = {
    "preview": "a first look, made for two CPU cores",
    "standard": "sharper and slower, for patient CPUs",
    "paper": "the published sizes, for a large GPU",
}


def configure(
    preset: str, seed: int | None, values: dict[str, float | None], mesh: str | None = None
) -> Config:
    """The preset with the visitor's values; None or 0 keeps the preset's own.

    `mesh` is the path of a mesh that the visitor brought.

    Raises UserError for a value that this page does not accept.
    """
    if seed is None or seed < 0:
        raise UserError("The seed has to be a whole number from 0 on.", "0 is as good as any.")
    config = replace(PRESETS[preset], seed=seed)
    for name, value in values.items():
        if value:
            setting = SETTINGS[name]
            if not setting.smallest <= value <= setting.largest:
                raise UserError(
                    f"{setting.label} cannot be {value:g} here.",
                    f"Choose a value from {setting.smallest:g} to {setting.largest:g}.",
                )
            part = replace(getattr(config, setting.part), **{setting.field: value})
            config = replace(config, **{setting.part: part})
    return replace(config, mesh=replace(config.mesh, file=mesh or ""))


def preset_values(preset: str) -> list[float]:
    """What the preset says for each of SETTINGS."""
    return [setting.value(preset) for setting in SETTINGS.values()]


def preset_choices() -> list[tuple[str, str]]:
    """Label and name of each preset; the figures are the preset's own."""
    choices = []
    for name, config in PRESETS.items():
        steps = config.fourd.static_iterations + config.fourd.dynamic_iterations
        label = (
            f"{name.capitalize()}: {PRESET_WORDS[name]}. "
            f"{config.clip.frames} frames of {config.clip.size} px, {steps:,} steps."
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
