"""Cost as a function of Gaussians, pixels, frames and views, with linear fits."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from ds4d.config import Config
from ds4d.pipeline import generate
from ds4d.presets import PRESETS
from ds4d.run.workspace import Workspace

from ..chain.one_run import CLIPS
from . import rasterizer, training
from .measure import fit

# Ranges; smaller sizes do not saturate a GPU.
CPU = {
    "gaussians": (1000, 2000, 4000, 8000, 16_000), "sides": (96, 128, 192, 256, 384),
    "cameras": (1, 2, 4, 8, 16), "times": (1, 2, 3, 4, 6), "views": (2, 3, 4, 5, 6, 7),
    "frames": (6, 12, 18, 24),
}  # fmt: skip
GPU = CPU | {
    "gaussians": (10_000, 30_000, 60_000, 100_000, 200_000), "sides": (256, 512, 768, 1024),
    "cameras": (4, 8, 16, 32),
}  # fmt: skip
QUICK = {
    "gaussians": (50, 100, 150), "sides": (32, 40, 48), "cameras": (1, 2, 3), "times": (1, 2, 3),
    "views": (2, 3, 4), "frames": (2, 3),
}  # fmt: skip


def run(quick: bool) -> Iterator[dict]:
    """Yield one row per curve: its points and the linear fit."""
    cuda = torch.cuda.is_available()
    ranges = QUICK if quick else GPU if cuda else CPU
    yield from _rasterizer(ranges, "triton" if cuda else "numba", 2 if quick else 20)
    yield from _step(ranges, quick)
    yield _stages(ranges["frames"], quick)


def _curve(
    cost: str,  # measured quantity
    over: str,  # independent variable
    x: Sequence[int],
    measured: Callable[[int], float],  # ms
) -> dict:
    y = [measured(value) for value in x]
    row = {"part": "scaling", "cost": cost, "over": over, "x": list(x), "ms": y}
    return row | fit(x, y)


def _rasterizer(ranges: dict, engine: str, repeats: int) -> Iterator[dict]:
    """Time forward + backward, one variable at a time, the others at the middle of their ranges."""
    names = "gaussians", "sides", "cameras"
    N, size, C = (ranges[name][len(ranges[name]) // 2] for name in names)

    def both(N: int = N, size: int = size, C: int = C) -> float:
        return rasterizer.measure(engine, N, size, C, repeats)["both_ms"]

    yield _curve("rasterizer", "Gaussians", ranges["gaussians"], lambda N: both(N=N))
    areas = [side**2 for side in ranges["sides"]]
    yield _curve("rasterizer", "pixels of a camera", areas, lambda x: both(size=math.isqrt(x)))
    yield _curve("rasterizer", "cameras", ranges["cameras"], lambda C: both(C=C))


def _step(ranges: dict, quick: bool) -> Iterator[dict]:
    """Time a step of the dynamic phase without SDS, one variable at a time."""
    name = "paper" if torch.cuda.is_available() else "preview"
    config, V = PRESETS[name], max(ranges["views"])
    options = {"size": config.clip.size, "grid": config.features.grid}
    fourd = dataclasses.replace(config.fourd, sds=0.0)
    if quick:
        name, fourd, options = "tiny", training.TINY, {"size": 48, "grid": 4, "frames": 3}

    def step(views: int = V, **changes) -> float:
        changed = training.phase(dataclasses.replace(fourd, **changes), True)
        # Training images are at most as large as the views.
        larger = {"size": max(changed.image_size, options["size"])}
        trainer = training.prepare(changed, views=views, **(options | larger))
        return training.pace(trainer, 0.05 if quick else 3.0)["ms_per_step"]

    cost = f"training step, {name}"
    yield _curve(cost, "Gaussians", ranges["gaussians"], lambda N: step(points=N))
    areas = [side**2 for side in ranges["sides"]]
    yield _curve(cost, "pixels of a view", areas, lambda x: step(image_size=math.isqrt(x)))
    yield _curve(cost, "frames in a step", ranges["times"], lambda K: step(times_per_step=K))
    yield _curve(cost, "views of the object", ranges["views"], lambda V: step(views=V))


def _stages(counts: Sequence[int], quick: bool) -> dict:
    """Time the stages before the optimization, by the number of frames."""

    def seconds(frames: int) -> float:
        clip = dataclasses.replace(Config().clip, frames=frames, size=32 if quick else 256)
        mesh = dataclasses.replace(Config().mesh, resolution=32 if quick else 96)
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace(Path(folder))
            config = dataclasses.replace(Config(), clip=clip, mesh=mesh)
            for _ in generate(CLIPS / "octopus.webp", workspace, config, until="mesh"):
                pass
            return sum(stage["seconds"] for stage in workspace.record["stages"].values())

    seconds(counts[0])  # warm-up: compilation and lazy imports
    return _curve(
        "stages before 4D", "frames of the clip", counts, lambda count: 1e3 * seconds(count)
    )
