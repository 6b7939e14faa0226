"""The chain with pretrained networks of random weights: their work, but not their pictures.

    python -m benchmarks.chain.random_networks DRAWN generate CLIP --out RUN ...

Random weights take as long as the published ones, but draw noise, of which the stages after them
could make no object. So the networks do all their work, and then what they drew is exchanged for
what DRAWN, a run of the embedded engines on the same clip, holds in its place: the six views, on
the grey of Zero123++. InstantMesh's random weights hold a ball. Mattes are made without a network,
because there are no random weights of rembg's.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tyro

from ds4d import cli
from ds4d.clip import resized
from ds4d.config import Config
from ds4d.images import over
from ds4d.multiview.views import load_views
from ds4d.multiview.zero123plus import engine as zero123plus
from ds4d.multiview.zero123plus.preprocessing import GREY
from ds4d.pipeline import generate
from ds4d.run.events import Stage, result
from ds4d.run.workspace import Workspace

from .. import networks

ENGINES = (
    "--matting.engine", "classical", "--multiview.engine", "zero123plus", "--features.engine",
    "dinov2", "--mesh.engine", "instantmesh", "--fourd.perceptual-loss", "lpips",
)  # fmt: skip
EMBEDDED = ("--matting.engine", "classical", "--multiview.engine", "inflate")


def prepare(sizes: str, folder: Path) -> list[str]:
    """Write random weights, unless they are there, and return the arguments that name them.

    Args:
        sizes: "random" for the published sizes, "tiny" for small ones.
        folder: gets a folder of weights for each.
    """
    weights = folder / sizes
    if sizes == "tiny":
        from tests.fakes.everything import make

        if not weights.exists():
            make(weights)
    else:
        for name in ("zero123plus", "dinov2", "instantmesh", "lpips"):
            networks.write(name, weights)
    return ["--weights", str(weights), *ENGINES]


def draw(clip: Path, run: Path, more: Sequence[str]) -> Path:
    """Make the views of a clip by the embedded engines, in a run folder, which is returned."""
    config = tyro.cli(Config, args=[*more, *EMBEDDED])
    result(generate(clip, Workspace(run), config, until="multiview"))
    return run


def exchange_views(drawn: Path) -> None:
    """Let Zero123++ return the views of a run on grey instead of what random weights draw.

    Its seconds are printed, as a part of the stage, for `one_run.run`.
    """
    views = load_views(drawn).images[:, 1:]  # [T, 6, S, S, 4]
    generate_views = zero123plus.generate_views

    def exchanged(*args, **kwargs) -> Stage[np.ndarray]:
        started = time.perf_counter()
        noise = yield from generate_views(*args, **kwargs)
        seconds = round(time.perf_counter() - started, 2)
        print(json.dumps({"part": "multiview: Zero123++ alone", "seconds": seconds}), flush=True)
        flat = views.reshape(-1, *views.shape[2:])
        images = np.stack([over(resized(image, noise.shape[2]), GREY) for image in flat])
        return images.reshape(noise.shape)

    zero123plus.generate_views = exchanged


if __name__ == "__main__":
    exchange_views(Path(sys.argv[1]))
    sys.exit(cli.main(sys.argv[2:]))
