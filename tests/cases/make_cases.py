"""Render the ground-truth case that the tests read: python -m tests.cases.make_cases

The bundled frog (examples/objects/frog.py), FRAMES frames of its hop at SIZE x SIZE pixels, in the
layout of a case folder:

    input/0000.png ...              the front view, RGBA with exact alpha
    multiview/0000/0.png ... 5.png  the six Zero123++ v1.2 views of each frame
    multiview_noisy/...             the same views, degraded independently as generated views are
    heldout/az+105/0000.png ...     a camera that no engine sees
    cameras.json                    the cameras of all of them

Deterministic; about two minutes on one core.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np

from ds4d.cameras import concatenate, orbit_cameras, rig_cameras
from examples.make_case import write_cameras
from examples.make_clips import render
from tests.cases import FROG

FRAMES = 8
SIZE = 128  # pixels
HELD_OUT = 105  # azimuth, degrees, at eye level
WARP = 1.5  # pixels, standard deviation of the smooth displacement of a noisy view
GAIN = 0.05  # standard deviation of a noisy view's gain, per channel
BLUR = 0.7  # pixels, standard deviation


def make(folder: Path) -> None:
    """Render the whole case into `folder`."""
    held_out = f"heldout/az{HELD_OUT:+04d}"
    names = ["input", *(f"multiview/{view}" for view in range(6)), held_out]
    cameras = concatenate([rig_cameras(SIZE), orbit_cameras([HELD_OUT], size=SIZE)])
    random = np.random.default_rng(0)
    for frame in range(FRAMES):
        front, *views, side = render("frog", frame / FRAMES, cameras, 1)
        write(folder / "input" / f"{frame:04d}.png", front)
        write(folder / held_out / f"{frame:04d}.png", side)
        for view, image in enumerate(views):
            write(folder / f"multiview/{frame:04d}/{view}.png", image)
            write(folder / f"multiview_noisy/{frame:04d}/{view}.png", degraded(image, random))
    write_cameras(folder / "cameras.json", names, cameras, FRAMES)


def degraded(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A view [S, S, 4] uint8 with a smooth warp, a change of colour and a blur."""
    coarse = random.normal(0, WARP, (4, 4, 2)).astype(np.float32)
    shift = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.indices((SIZE, SIZE), dtype=np.float32)
    rgba = image.astype(np.float32)
    rgba[..., :3] *= rgba[..., 3:] / 255  # premultiplied: nothing leaks in from outside the matte
    rgba = cv2.remap(rgba, columns + shift[..., 0], rows + shift[..., 1], cv2.INTER_LINEAR)
    rgba = cv2.GaussianBlur(rgba, (0, 0), BLUR)
    gain = 1 + random.normal(0, GAIN, 3)
    rgba[..., :3] *= 255 * gain / np.maximum(rgba[..., 3:], 1)
    return rgba.round().clip(0, 255).astype(np.uint8)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, image, compress_level=9)


if __name__ == "__main__":
    make(FROG)
