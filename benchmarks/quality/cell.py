"""One cell of the grid: a training with one configuration on one case, and its scores."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ds4d import pipeline
from ds4d.config import Config
from ds4d.fourd.ablations import ABLATIONS
from ds4d.fourd.asset import Asset
from ds4d.presets import PRESETS
from ds4d.run.workspace import Workspace

from . import scores
from .sheet import save_sheet


@dataclass(frozen=True)
class Cell:
    """Parameters of one training; its fields name the first columns of the table."""

    case: str
    views: str  # folder of given views in the case; none = the embedded engine makes them
    preset: str
    config: str  # one of ABLATIONS
    length: float  # steps, times what the preset has
    seed: int

    @property
    def name(self) -> str:
        return "-".join(str(value) for value in asdict(self).values())

    def settings(self) -> Config:
        """The preset with the configuration's changes, and all its steps made fewer or more."""
        config = PRESETS[self.preset]
        fourd = ABLATIONS[self.config](config.fourd)
        steps = ("static_iterations", "dynamic_iterations", "densify_from", "densify_until")
        fourd = replace(
            fourd, **{name: round(self.length * getattr(fourd, name)) for name in steps}
        )
        return replace(
            config,
            seed=self.seed,
            fourd=fourd,
            multiview=replace(config.multiview, views=self.views),
        )


def prepare(case: Path, cell: Cell, folder: Path) -> None:
    """Everything before the optimization, which cells of the same case and views share."""
    for _ in pipeline.generate(case, Workspace(folder), cell.settings(), until="features"):
        pass


def run(case: Path, cell: Cell, prepared: Path, folder: Path) -> dict[str, Any]:
    """Train and score. Returns the cell's row; a contact sheet lies in `folder` then.

    Args:
        prepared: run folder whose stages before the optimization are done.
        folder: where sheets/NAME.jpg goes, and the run while it lasts.
    """
    work = folder / "runs" / cell.name
    if not work.exists():
        shutil.copytree(prepared, work)
    workspace = Workspace(work)
    with closing(pipeline.generate(case, workspace, cell.settings(), until="fourd")) as events:
        for _ in events:
            pass
    asset = Asset.load(work / "fourd.safetensors")
    stage = workspace.record["stages"]["fourd"]
    row = {
        **asdict(cell),
        **scores.of(asset, case, work),
        "seconds": stage["seconds"],
        "steps": cell.settings().fourd.static_iterations + cell.settings().fourd.dynamic_iterations,
        "peak_memory_mb": stage["peak_memory_mb"],
        "gaussians": stage["gaussians"],
        "device": _device(),
    }
    save_sheet(asset, case, work, folder / "sheets" / f"{cell.name}.jpg")
    shutil.rmtree(work)
    return json.loads(json.dumps(row))


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} thread(s)"
