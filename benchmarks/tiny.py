"""Settings with which a run takes seconds, for measurements of everything around it."""

from __future__ import annotations

from pathlib import Path

import tyro

from ds4d.config import Config

CLIP = Path("tests/inputs/ten.gif")
ARGUMENTS = [
    "--clip.frames", "3", "--clip.size", "64", "--matting.engine", "classical",
    "--multiview.engine", "inflate", "--features.engine", "descriptors", "--features.grid", "6",
    "--mesh.engine", "inflated", "--mesh.resolution", "32", "--fourd.points", "400",
    "--fourd.max-gaussians", "500", "--fourd.image-size", "64", "--fourd.static-iterations", "4",
    "--fourd.dynamic-iterations", "20", "--fourd.plane-size", "8", "--fourd.checkpoint-every", "5",
    "--fourd.perceptual-loss", "structural", "--videos.size", "64", "--videos.seconds", "0.5",
    "--export.triangles", "2000", "--export.texture", "64", "--export.bones", "2",
    "--device", "cpu",
]  # fmt: skip
TINY = tyro.cli(Config, args=ARGUMENTS)
