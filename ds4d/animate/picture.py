"""A picture of one object: read and cut out; and the clip that was made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .. import clip, matting
from ..config import ClipConfig, MachineConfig, MattingConfig
from ..run.events import Event, Stage
from ..weights import fetching

MARGIN = 0.1  # free border around the object, as a fraction of the square's side


def cut_out(
    file: Path, size: int, machine: MachineConfig, config: MattingConfig
) -> Stage[np.ndarray]:
    """The object of a picture in a square, [S, S, 4] uint8 with straight alpha.

    S is `size`. Colours extend beyond the edges, as in `clip.square`.

    Raises:
        UserError: the file is no picture, or shows no object.
    """
    pixels = clip.read_image(file, ClipConfig())[None]
    engine = matting.choose(config, machine, pixels)
    yield Event("matting", message=engine.message)
    for weight in engine.weights:
        yield from fetching("matting", weight, machine.weights)
    alphas = yield from engine.run(pixels)
    one = np.zeros(1)
    read = clip.Clip(pixels, one, one.astype(np.int64), 1, None, prepared=False)
    frames, _, warnings = clip.square(read, alphas, ClipConfig(size=size, margin=MARGIN))
    for warning in warnings:
        yield Event("matting", 1, 1, warning, warning=True)
    return clip.resized(frames[0], size)


def save_clip(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write frames [T, H, W, 4] uint8 as an animated WebP that loops; its alpha is exact."""
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(
        path, format="WEBP", save_all=True, append_images=images[1:], loop=0,
        duration=round(1000 / fps), quality=90, method=2,
    )  # fmt: skip
