"""Contact sheets of the embedded multiview engine: python -m benchmarks.view_sheets FOLDER CLIP ...

One sheet for each clip or case, FOLDER/NAME.jpg: three moments below each other, six sides beside
each other (front, 45, 90, 135, 180 and 270 degrees at eye level), before any optimization. The
mattes are kept in FOLDER/runs, so that a second call only draws again.
"""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import tyro
from tyro.conf import Positional

from ds4d.cameras import orbit_cameras
from ds4d.images import load_images, over, tile
from ds4d.multiview.given import front_camera
from ds4d.multiview.inflate.model import fit
from ds4d.multiview.inflate.solid import render
from ds4d.pipeline import generate
from ds4d.presets import PRESETS
from ds4d.run.events import result
from ds4d.run.workspace import Workspace

AZIMUTHS = (0, 45, 90, 135, 180, 270)  # degrees
MOMENTS = (0.0, 0.5, 1.0)


def make(folder: Positional[Path], clips: Positional[tuple[Path, ...]], size: int = 200) -> None:
    """Draw the sheets.

    Args:
        folder: of the sheets.
        clips: clips or case folders.
        size: side of a picture, pixels.
    """
    for clip in clips:
        run = folder / "runs" / clip.stem
        for _ in generate(clip, Workspace(run), PRESETS["preview"], until="matting"):
            pass
        frames = load_images(run / "frames")
        model = result(fit(frames, front_camera(clip, frames.shape[1])))
        cameras = orbit_cameras(AZIMUTHS, size=size)
        moments = [round(moment * (len(frames) - 1)) for moment in MOMENTS]
        pictures = np.concatenate([render(model.solid(moment), cameras) for moment in moments])
        sheet = tile(over(pictures), columns=len(AZIMUTHS))
        iio.imwrite(folder / f"{clip.stem}.jpg", sheet, quality=88)
        print(f"{clip.stem}: {model.said}", flush=True)


if __name__ == "__main__":
    tyro.cli(make, description=__doc__)
