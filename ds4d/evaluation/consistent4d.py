"""Ground truth of Consistent4D's test set: eval_0 to eval_3, four still cameras around an object.

Its cameras see the object's whole frame; a run crops its clip to a square. The square that the run
recorded tells where the object's world lies in that of the cameras (docs/method.md, section 13).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..cameras import Cameras, Similarity, orbit_cameras
from ..errors import UserError
from ..run.workspace import Workspace

AZIMUTHS = (-75.0, 15.0, 105.0, 195.0)  # of eval_0 to eval_3, at elevation 0
FOV_DEG = 49.1


def truth_sets(case: Path) -> dict[str, list[str]]:
    """Images of each view, as relative paths in the order of time; empty for another layout."""
    sets = {}
    for view in range(len(AZIMUTHS)):
        files = [path for path in (case / f"eval_{view}").glob("*.png") if path.stem.isdigit()]
        if files:
            ordered = sorted(files, key=lambda path: int(path.stem))
            sets[f"heldout/eval_{view}"] = [f"eval_{view}/{path.name}" for path in ordered]
    return sets


def cameras(size: int) -> Cameras:
    """The four cameras at size x size pixels; one world unit fills the frame, as in STAG4D."""
    radius = 0.5 / math.tan(math.radians(FOV_DEG / 2))
    return orbit_cameras(AZIMUTHS, size=size, radius=radius, fov_deg=FOV_DEG)


def placement(workspace: Workspace) -> Similarity:
    """The way from the world of these cameras to the run's, by the square that the run cropped.

    Raises:
        UserError: the run has no such square, or one that moves.
    """
    facts: dict[str, Any] = workspace.record.get("stages", {}).get("matting", {})
    frames = sorted((workspace / "clip").glob("*.png"))
    if "path" in facts:
        raise UserError(
            "The run's square moves, so its place in the world is not known.",
            "Evaluate a run whose camera and object stay in their places.",
        )
    if "crop" not in facts or not frames:
        raise UserError(
            "The run does not say how its clip was cropped.", "Evaluate a run of the input clip."
        )
    with Image.open(frames[0]) as image:
        return of_crop(facts["crop"], *image.size)


def of_crop(crop: tuple[float, float, float], width: int, height: int) -> Similarity:
    """The same, for a square (left, top, side) in frames of a size, all in pixels."""
    left, top, side = crop
    right = (left + side / 2 - width / 2) / height
    up = (height / 2 - top - side / 2) / height
    centre = torch.tensor([right, 0, up], dtype=torch.float64)
    return Similarity(height / side, torch.eye(3, dtype=torch.float64), centre)
