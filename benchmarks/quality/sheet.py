"""Contact sheets: held-out renders below the truth, or renders around where there is none."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np

from ds4d.cameras import orbit_cameras
from ds4d.fourd.asset import Asset
from ds4d.images import over, tile
from ds4d.render.turntable import render_views

MOMENTS = (0.0, 0.5, 1.0)
AROUND = (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)


def save_sheet(asset: Asset, case: Path, work: Path, path: Path) -> None:
    """Write the sheet as jpg: per moment a row of truth, where there is one, and one of renders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    truth = sorted((case / "heldout").glob("*"))
    picture = _beside_truth(truth, work / "evaluation/heldout") if truth else _around(asset)
    iio.imwrite(path, picture, quality=85)


def _beside_truth(truth: list[Path], drawn: Path) -> np.ndarray:
    rows = []
    for moment in MOMENTS:
        for folder in (*truth, *(drawn / view.name for view in truth)):
            files = sorted(folder.glob("*.png"))
            rows.append(over(iio.imread(files[round(moment * (len(files) - 1))])))
    return tile(np.stack(rows), columns=len(truth))


def _around(asset: Asset) -> np.ndarray:
    cameras = orbit_cameras(AROUND, 10.0, size=256)
    pictures = [render_views(asset, cameras, [moment] * len(AROUND)) for moment in MOMENTS]
    return tile(over(np.concatenate(pictures)), columns=len(AROUND))
