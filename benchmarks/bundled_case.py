"""Case with truth from a bundled object: python -m benchmarks.bundled_case frog FOLDER

The object as the example clips show it, with exact alpha: every frame from the front, every sixth
from four held-out cameras at eye level.
"""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import tyro
from tyro.conf import Positional

from ds4d.cameras import FOV_DEG, orbit_cameras
from examples.make_clips import render

HELD_OUT = (-75, 15, 105, 195)  # azimuths at eye level, degrees
FRAMES = 24
EVERY = 6


def make(title: Positional[str], folder: Positional[Path], size: int = 256) -> None:
    """Draw the object TITLE (frog, octopus, cactus or windmill) into FOLDER."""
    names = ["input", *(f"heldout/az{azimuth:+04d}" for azimuth in HELD_OUT)]
    cameras = orbit_cameras([0, *HELD_OUT], size=size)
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for frame in range(FRAMES):
        seen = cameras if frame % EVERY == 0 else cameras[0]
        for name, image in zip(names, render(title, frame / FRAMES, seen, 1), strict=False):
            iio.imwrite(folder / name / f"{frame:04d}.png", image)
    opengl = np.diag([1, -1, -1, 1])
    entries = [
        {
            "name": name, "frames": "all", "width": size, "height": size, "fov_deg": FOV_DEG,
            "c2w_opengl": (np.linalg.inv(viewmat.double().numpy()) @ opengl).tolist(),
        }
        for name, viewmat in zip(names, cameras.viewmats, strict=True)
    ]  # fmt: skip
    (folder / "cameras.json").write_text(json.dumps({"n_frames": FRAMES, "cameras": entries}))


if __name__ == "__main__":
    tyro.cli(make, description=__doc__)
