"""Render a case with ground truth from a bundled object: python -m examples.make_case frog FOLDER

The object as in the example clips, with exact alpha: every frame from the front, held-out cameras
at eye level and, with --views, the six views of every frame.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tyro
from tyro.conf import Positional

from ds4d.cameras import FOV_DEG, Cameras, concatenate, orbit_cameras, rig_cameras
from ds4d.images import save_pngs
from examples.make_clips import render

HELD_OUT = (-75, 15, 105, 195)  # azimuths at eye level, degrees
FRAMES = 24


def make(
    title: Positional[str],
    folder: Positional[Path],
    size: int = 256,
    every: int = 6,
    views: bool = False,
) -> None:
    """Render a bundled object into a case folder.

    Args:
        title: frog, octopus, cactus or windmill.
        folder: case folder, made if it is not there.
        size: side of the images, pixels.
        every: frames between two frames of the held-out cameras.
        views: whether the six views are rendered, too.
    """
    rig, held_out = rig_cameras(size), orbit_cameras(HELD_OUT, size=size)
    if not views:
        rig = rig[0]
    for frame in range(FRAMES):
        cameras = concatenate([rig, held_out]) if frame % every == 0 else rig
        paths = [folder / f"input/{frame:04d}.png"]
        paths += [folder / f"multiview/{frame:04d}/{view}.png" for view in range(len(rig) - 1)]
        paths += [folder / f"heldout/az{azimuth:+04d}/{frame:04d}.png" for azimuth in HELD_OUT]
        paths = paths[: len(cameras)]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        save_pngs(paths, render(title, frame / FRAMES, cameras, 1))
    names = ["input", *(f"multiview/{view}" for view in range(len(rig) - 1))]
    names += [f"heldout/az{azimuth:+04d}" for azimuth in HELD_OUT]
    write_cameras(folder / "cameras.json", names, concatenate([rig, held_out]), FRAMES)


def write_cameras(path: Path, names: list[str], cameras: Cameras, frames: int) -> None:
    """Write cameras.json of a case: camera to world, OpenGL axes."""
    opengl = np.diag([1, -1, -1, 1])
    entries = [
        {
            "name": name, "width": cameras.width, "height": cameras.height, "fov_deg": FOV_DEG,
            "c2w_opengl": (np.linalg.inv(viewmat.double().numpy()) @ opengl).round(7).tolist(),
        }
        for name, viewmat in zip(names, cameras.viewmats, strict=True)
    ]  # fmt: skip
    path.write_text(json.dumps({"n_frames": frames, "cameras": entries}, indent=1))


if __name__ == "__main__":
    tyro.cli(make, description=__doc__)
