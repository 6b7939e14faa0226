"""Render the bundled clips: `python -m examples.make_clips [NAME ...] --out examples/clips`.

The objects are functions of time (examples/objects), so that they double as ground truth: `render`
draws any of them at any time from any camera of ds4d.cameras.
"""

from __future__ import annotations

import argparse
import sys
import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from PIL import Image

from ds4d.cameras import Cameras, orbit_cameras
from ds4d.run.workspace import replacing
from examples import tracer
from examples.objects import cactus, frog, octopus, windmill
from examples.parts import Part

FPS = 24
SIZE = 512  # pixels
CLIPS = Path(__file__).parent / "clips"


@dataclass(frozen=True)
class Clip:
    """A bundled clip: its file, its object, its length and what it stands on."""

    file: str
    parts: Callable[[float], list[Part]]  # of the time in [0, 1)
    frames: int
    backdrop: tuple[str, str] | None  # colours at the top and at the bottom; None = alpha


OBJECTS = {
    "frog": Clip("frog.mp4", frog.parts, 40, ("#f7dccb", "#fbeee3")),
    "octopus": Clip("octopus.webp", octopus.parts, 36, None),
    "cactus": Clip("cactus.mp4", cactus.parts, 40, ("#e9e0f6", "#f5effb")),
    "windmill": Clip("windmill.mp4", windmill.parts, 48, ("#cfe6f7", "#eef7fc")),
}


def render(title: str, time: float, cameras: Cameras, samples: int = 2) -> np.ndarray:
    """The object of a clip at a time (in clip lengths, periodic) from each camera.

    Returns [C, H, W, 4] uint8 RGBA, straight alpha; samples x samples rays where it matters.
    """
    return tracer.render(OBJECTS[title].parts(time % 1.0), cameras, samples)


def over_backdrop(image: np.ndarray, top: str, bottom: str) -> np.ndarray:
    """Put an RGBA image [H, W, 4] on a vertical gradient between two '#rrggbb' colours; RGB."""
    ends = [[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in (top, bottom)]
    share = np.linspace(0, 1, len(image))[:, None, None]
    backdrop = (1 - share) * np.array(ends[0]) + share * np.array(ends[1])
    alpha = image[..., 3:] / 255
    return np.rint(alpha * image[..., :3] + (1 - alpha) * backdrop).astype(np.uint8)


def make(name: str, folder: Path, size: int = SIZE, samples: int = 2) -> Path:
    """Render and write one clip, seen by the front camera, with a progress line on stderr."""
    clip, camera = OBJECTS[name], orbit_cameras([0.0], size=size)
    images, started = [], clock.perf_counter()
    for k in range(clip.frames):
        images.append(render(name, k / clip.frames, camera, samples)[0])
        seconds = clock.perf_counter() - started
        print(f"\r{name}: frame {k + 1}/{clip.frames}, {seconds:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    path = folder / clip.file
    with replacing(path) as aside:
        if clip.backdrop is None:
            write_webp(aside, images)
        else:
            write_mp4(aside, [over_backdrop(image, *clip.backdrop) for image in images])
    return path


def write_webp(path: Path, images: list[np.ndarray]) -> None:
    """An endless animated WebP with alpha, lossy in colour and exact in alpha."""
    first, *rest = [Image.fromarray(image) for image in images]
    first.save(path, save_all=True, append_images=rest, duration=round(1000 / FPS), loop=0,
               quality=80, alpha_quality=100, method=6)  # fmt: skip


def write_mp4(path: Path, images: list[np.ndarray]) -> None:
    """H.264 that plays in every browser."""
    settings = ["-crf", "16", "-preset", "slow", "-movflags", "+faststart"]
    imageio.mimwrite(path, images, fps=FPS, codec="libx264", quality=None, pixelformat="yuv420p",
                     output_params=settings, macro_block_size=2)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(OBJECTS)}; all")
    parser.add_argument("--out", type=Path, default=CLIPS, help="folder for the clips")
    arguments = parser.parse_args()
    for name in arguments.names or OBJECTS:
        if name not in OBJECTS:
            parser.error(f"there is no object {name}; choose from {', '.join(OBJECTS)}")
        path = make(name, arguments.out)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
