"""The bundled examples: clips, and the results that were made from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CLIPS, PICTURES, RESULTS = (EXAMPLES / name for name in ("clips", "pictures", "results"))


@dataclass(frozen=True)
class Example:
    """A bundled clip with its bundled run folder."""

    name: str

    @property
    def title(self) -> str:
        return self.name.replace("_", " ").capitalize()

    @property
    def clip(self) -> Path:
        return next(CLIPS.glob(f"{self.name}.*"))

    @property
    def picture(self) -> Path | None:
        """The picture that the clip was made of, if it was."""
        return next(PICTURES.glob(f"{self.name}.*"), None)

    @property
    def folder(self) -> Path:
        return RESULTS / self.name

    @property
    def preset(self) -> str:
        """The preset that the result was made with."""
        return json.loads((self.folder / "run.json").read_text())["config"]["preset"]


def all_examples() -> list[Example]:
    """Every example that has a result, by name."""
    return [Example(name) for name in sorted(p.parent.name for p in RESULTS.glob("*/run.json"))]
