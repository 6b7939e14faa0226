"""Compilation of all kernels before the first clip comes: a preview of a tiny clip.

The preset's settings are kept, except for sizes and numbers of steps, for which no kernel is
compiled anew. numba keeps what it has compiled beside the sources or in NUMBA_CACHE_DIR, Triton in
TRITON_CACHE_DIR or ~/.triton; later processes compile nothing, but for LPIPS's kernels on a GPU:
nothing is downloaded here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config import Config
from ..images import save_images
from ..kernels.numba import cache
from ..run.hardware import gpu_name
from ..run.workspace import Workspace
from . import generate

FRAMES, SIDE = 4, 64


def warm_up(stopped: Callable[[], bool] = lambda: False) -> None:
    """Run every stage on a tiny clip by the engines that need no weights, once per installation.

    Args:
        stopped: asked after every event; True ends the work, and the next call begins again.
    """
    note = cache.folder() / "warm-up"
    done = f"{cache.stamp()} {gpu_name() or 'cpu'}"
    if note.is_file() and note.read_text() == done:
        return
    with tempfile.TemporaryDirectory(prefix="ds4d-warm-up-") as folder:
        clip = Path(folder, "clip")
        save_images(clip, ball())
        with closing(generate(clip, Workspace(Path(folder, "run")), tiny(Config()))) as events:
            if any(stopped() for _ in events):
                return
    with suppress(OSError):  # where nothing can be kept, every process compiles
        note.write_text(done)


def tiny(config: Config) -> Config:
    """The config with few frames, pixels, points and steps, and the embedded engines."""
    return replace(
        config,
        clip=replace(config.clip, frames=FRAMES, size=SIDE),
        matting=replace(config.matting, engine="classical"),
        multiview=replace(config.multiview, engine="inflate"),
        features=replace(config.features, engine="descriptors", grid=6),
        mesh=replace(config.mesh, engine="inflated", resolution=32),
        fourd=replace(
            config.fourd,
            perceptual_loss="structural",
            points=400,
            max_gaussians=500,
            static_iterations=10,
            dynamic_iterations=20,
            image_size=SIDE,
        ),
        videos=replace(config.videos, size=SIDE, seconds=0.5),
        export=replace(config.export, triangles=2000, texture=64, bones=2),
    )


def ball() -> np.ndarray:
    """A shaded ball that rolls over grey, [T, S, S, 3] uint8."""
    y, x = np.mgrid[:SIDE, :SIDE]
    frames = np.full((FRAMES, SIDE, SIDE, 3), 225, np.uint8)
    for frame, center in zip(frames, np.linspace(0.4, 0.6, FRAMES) * SIDE, strict=True):
        distance = np.hypot(x - center, y - SIDE / 2) / (SIDE * 0.26)
        shade = np.clip(1.1 - 0.5 * distance, 0, 1)[..., None]
        frame[distance < 1] = (shade * (200, 60, 40))[distance < 1]
    return frames
