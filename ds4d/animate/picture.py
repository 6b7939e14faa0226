"""A picture of one object: read and cut out; and the clip that was made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from .. import clip, matting
from ..config import ClipConfig, MachineConfig, MattingConfig
from ..run.events import Event, Stage
from ..weights import fetching

DESCRIPTION = 0x010E  # EXIF tag
MARGIN = 0.1  # free border around the object, as a fraction of the square's side


def cut_out(
    file: Path, size: int, machine: MachineConfig, config: MattingConfig
) -> Stage[np.ndarray]:
    """The object of a picture in a square, [S, S, 4] uint8 with straight alpha.

    S is `size`. Colours extend beyond the edges, as in `clip.square`.

    Raises:
        UserError: the file is no picture, or shows no object.
    """
    pixels = clip.read_image(file, ClipConfig())
    return (yield from squares(pixels[None], size, machine, config))[0]


def squares(
    frames: np.ndarray,  # [T, H, W, 3 or 4] uint8
    size: int,
    machine: MachineConfig,
    config: MattingConfig,
) -> Stage[np.ndarray]:
    """The object of all frames in one square around it, [T, S, S, 4] uint8.

    A warning tells where the border of a frame cuts the object off, or where it is not visible.
    Raises UserError if no frame shows an object.
    """
    engine = matting.choose(config, machine, frames)
    yield Event("matting", message=engine.message)
    for weight in engine.weights:
        yield from fetching("matting", weight, machine.weights)
    alphas = yield from engine.run(frames, {})
    count = len(frames)
    numbers = np.arange(count)
    read = clip.Clip(frames, numbers / max(count - 1, 1), numbers, count, None, prepared=False)
    cut, _, warnings = clip.square(read, alphas, ClipConfig(size=size, margin=MARGIN))
    for warning in warnings:
        yield Event("matting", count, count, warning, warning=True)
    return np.stack([clip.resized(frame, size) for frame in cut])


def save_clip(path: Path, frames: np.ndarray, fps: float, key: str = "") -> None:
    """Write frames [T, H, W, 3 or 4] uint8 as an animated WebP that loops; its alpha is exact.

    Args:
        key: of what the clip was made from; it stands in the description of the file.
    """
    facts = Image.Exif()
    facts[DESCRIPTION] = f"ds4d {key}"
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(
        path, format="WEBP", save_all=True, append_images=images[1:], loop=0,
        duration=round(1000 / fps), quality=90, method=2, exif=facts,
    )  # fmt: skip


def made_before(path: Path, key: str) -> np.ndarray | None:
    """Frames [T, H, W, 4] uint8 of a clip that `save_clip` wrote with this key, if it is there."""
    try:
        with Image.open(path) as clip:
            if clip.getexif().get(DESCRIPTION) != f"ds4d {key}":
                return None
            return np.stack([np.asarray(frame.convert("RGBA"))
                             for frame in ImageSequence.Iterator(clip)])  # fmt: skip
    except OSError:  # absent, or no image
        return None
