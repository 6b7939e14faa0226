"""Draw the figures of the README: `python -m examples.make_figures [loop] [overview] [views]`.

loop        docs/loop.webp: the bundled clips above the turntable videos of their bundled results
overview    docs/overview.jpg: two bundled clips, the views of a frame, the results from four sides
views       docs/views.jpg: one object from held-out cameras: the ground truth, a run with the six
            true views of every frame, and a run with the front view alone (takes five minutes)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageSequence

from ds4d.images import over, tile
from examples import make_case
from examples.make_clips import CLIPS, OBJECTS

ROOT = Path(__file__).resolve().parents[1]
DOCS, RESULTS = ROOT / "docs", ROOT / "examples" / "results"
LABEL_HEIGHT = 24  # pixels

LOOP_LABEL = "4D asset, made without a GPU; the camera orbits"
LOOP_SIDE, LOOP_FPS, LOOP_QUALITY = 200, 12, 70

OVERVIEW, OVERVIEW_MOMENT, OVERVIEW_SIDE = ("frog", "octopus"), 0.25, 268
SIDES = ("front", "left", "back", "right")

OBJECT, SHOWN_FRAME = "frog", 15
AZIMUTHS = (15, 105, 195, -75)  # of make_case.HELD_OUT, in the order of the columns
VIEWS_SIDE = 220  # pixels of each picture of docs/views.jpg


def loop() -> Path:
    """Write the animation: each column is one object, input above output, in step."""
    columns = []
    for name in OBJECTS:
        orbit = iio.imread(RESULTS / name / "videos" / "orbit.mp4")
        shown = np.arange(0, len(orbit), 2)  # 24 frames a second -> LOOP_FPS
        clip = read_clip(CLIPS / OBJECTS[name].file)
        moments = np.rint(shown / (len(orbit) - 1) * (len(clip) - 1)).astype(int)
        columns.append((resized(clip[moments], LOOP_SIDE), resized(orbit[shown], LOOP_SIDE)))
    frames = []
    for step in range(len(shown)):
        inputs, outputs = (np.stack([pair[row][step] for pair in columns]) for row in (0, 1))
        rows = labelled(inputs, "input clip"), labelled(outputs, LOOP_LABEL)
        frames.append(Image.fromarray(np.concatenate(rows)))
    path = DOCS / "loop.webp"
    first, *rest = frames
    first.save(path, save_all=True, append_images=rest, duration=round(1000 / LOOP_FPS), loop=0,
               quality=LOOP_QUALITY, method=6)  # fmt: skip
    return path


def overview() -> Path:
    """Write the steps: in each row a clip's frame, its six views, and the asset from four sides."""
    rows = []
    for name in OVERVIEW:
        grid = iio.imread(RESULTS / name / "multiview/grid.mp4")
        clip = read_clip(CLIPS / OBJECTS[name].file)
        videos = [iio.imread(RESULTS / name / f"videos/{side}.mp4") for side in SIDES]
        moments = [round(OVERVIEW_MOMENT * (len(v) - 1)) for v in (clip, grid, *videos)]
        shown = [video[at] for video, at in zip((clip, grid, *videos), moments, strict=True)]
        widths = [round(image.shape[1] * OVERVIEW_SIDE / image.shape[0]) for image in shown]
        row = [
            np.asarray(Image.fromarray(image).resize((width, OVERVIEW_SIDE)))
            for image, width in zip(shown, widths, strict=True)
        ]
        rows.append(np.concatenate(row, axis=1))
    path = DOCS / "overview.jpg"
    iio.imwrite(path, np.concatenate(rows), quality=88)
    return path


def views() -> Path:
    """Write the comparison with the ground truth, from two runs of the preview preset."""
    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / OBJECT
        make_case.make(OBJECT, case, every=1, views=True)
        rows = [labelled(held_out(case), "ground truth")]
        for source, label in (
            ("multiview", "optimized from six given views per frame"),
            ("none", "optimized from the front view alone, without a GPU"),
        ):
            run = Path(folder) / source
            ds4d("generate", case, "--out", run, "--views", source)
            ds4d("evaluate", run, case)
            rows.append(labelled(held_out(run / "evaluation" / case.name), label))
    path = DOCS / "views.jpg"
    iio.imwrite(path, np.concatenate(rows), quality=88)
    return path


def held_out(folder: Path) -> np.ndarray:
    """The shown frame from each held-out camera, over white, [C, VIEWS_SIDE, VIEWS_SIDE, 3]."""
    files = [folder / f"heldout/az{a:+04d}" / f"{SHOWN_FRAME:04d}.png" for a in AZIMUTHS]
    return resized(np.stack([over(iio.imread(file)) for file in files]), VIEWS_SIDE)


def ds4d(*arguments: object) -> None:
    """Run one command of the command line; raises CalledProcessError where it fails."""
    subprocess.run([sys.executable, "-m", "ds4d", *map(str, arguments)], cwd=ROOT, check=True)


def read_clip(path: Path) -> np.ndarray:
    """The frames of a bundled clip, over white where it has alpha, [T, H, W, 3] uint8."""
    if path.suffix != ".webp":
        return iio.imread(path)
    with Image.open(path) as file:
        frames = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(file)]
    return over(np.stack(frames))


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """Square images [T, S, S, 3] uint8 at another size, [T, side, side, 3]."""
    return np.stack([Image.fromarray(image).resize((side, side)) for image in images])


def labelled(images: np.ndarray, label: str) -> np.ndarray:
    """Images [C, S, S, 3] uint8 beside each other under a line of text, [H, W, 3]."""
    row = tile(images, columns=len(images))
    band = Image.new("RGB", (row.shape[1], LABEL_HEIGHT), "white")
    ImageDraw.Draw(band).text((8, 4), label, fill="#444444", font=ImageFont.load_default(14))
    return np.concatenate([np.asarray(band), row])


def main(arguments: Sequence[str] | None = None) -> None:
    figures = {"loop": loop, "overview": overview, "views": views}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="*", help=f"of {', '.join(figures)}; all")
    chosen = parser.parse_args(arguments).figures or list(figures)
    for name in chosen:
        if name not in figures:
            parser.error(f"there is no figure {name}; choose from {', '.join(figures)}")
        path = figures[name]()
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
