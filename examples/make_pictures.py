"""Make the bundled picture and the clip of it: `python -m examples.make_pictures [--out examples]`.

The object is drawn once; the puppet moves it, as `python -m ds4d animate` does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from ds4d import animate
from ds4d.cameras import orbit_cameras
from ds4d.config import AnimateConfig, MachineConfig, MattingConfig
from ds4d.run.progress import show
from ds4d.run.workspace import replacing
from examples import tracer
from examples.make_clips import over_backdrop
from examples.objects import penguin

SIZE = 640  # pixels
BACKDROP = ("#d5f0ee", "#f0fbf9")  # colours at the top and at the bottom
MOTION = AnimateConfig(engine="puppet", motion="wave", frames=24, size=384)
HERE = Path(__file__).resolve().parent


def make(folder: Path, size: int = SIZE, samples: int = 3, motion: AnimateConfig = MOTION) -> None:
    """Draw pictures/penguin.jpg, and make clips/penguin.webp of it."""
    drawn = tracer.render(penguin.parts(0.0), orbit_cameras([0.0], size=size), samples)[0]
    picture = folder / "pictures/penguin.jpg"
    with replacing(picture) as path:
        Image.fromarray(over_backdrop(drawn, *BACKDROP)).save(path, quality=92)
    clip = folder / "clips/penguin.webp"
    show(animate.animate(picture, clip, motion, MachineConfig(device="cpu"), MattingConfig()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder of pictures and clips")
    make(parser.parse_args().out)
