"""Motions of the puppet engine on pictures: what they do to area and outline, and their seconds.

python -m benchmarks.puppet PICTURE ... [--motions auto] [--sheet FILE.jpg] [--json FILE.json]

Pictures without alpha are cut out first. Without pictures, the first frames of the bundled clips
are taken. The sheet shows eight frames of each picture and motion, for a person to look at.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np
import tyro

from ds4d import clip
from ds4d.animate import picture, puppet
from ds4d.config import ClipConfig, MachineConfig, MattingConfig
from ds4d.images import over, tile
from ds4d.run.events import result
from ds4d.run.workspace import replacing
from examples.make_clips import CLIPS

SIZE, FRAMES, SHOWN = 384, 24, 8
SMOOTH = 3.0  # pixels; sigma, of the outline that an outline is compared with


@dataclasses.dataclass(frozen=True)
class Options:
    pictures: tyro.conf.Positional[tuple[Path, ...]] = ()
    """pictures, or clips whose first frame is taken"""
    motions: tuple[str, ...] = ("auto",)
    """motions of the puppet engine"""
    sheet: Path | None = None
    """image file for the contact sheet"""
    json: Path | None = None
    """file for the rows as JSON"""


def first_frame(path: Path) -> np.ndarray:
    """The picture itself, or the first frame of a clip, [H, W, 3 or 4] uint8."""
    if path.suffix in (".png", ".jpg"):
        return clip.read_image(path, ClipConfig())
    return result(clip.read(path, ClipConfig(frames=2))).frames[0]


def cut_out(path: Path) -> np.ndarray:
    """The object of a picture, [SIZE, SIZE, 4] uint8."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.png"
        iio.imwrite(file, first_frame(path))
        return result(picture.cut_out(file, SIZE, MachineConfig(), MattingConfig()))


def measure(name: str, still: np.ndarray, motion: str) -> tuple[dict, np.ndarray]:
    """Area of the frames, and length of their outline beyond a smooth one, beside the picture's."""
    told: list[str] = []
    started = time.perf_counter()
    frames = result(puppet.run(still, motion, FRAMES), lambda event: told.append(event.message))
    seconds = time.perf_counter() - started
    area = frames[..., 3].sum((1, 2)) / frames[..., 3].sum((1, 2)).mean()
    rough = [roughness(frame[..., 3]) for frame in frames]
    row = {
        "picture": name, "motion": told[0].split(":")[0],
        "area": [round(float(area.min()), 3), round(float(area.max()), 3)],
        "roughness": round(max(rough) / roughness(still[..., 3]), 3),
        "seconds": round(seconds, 1),
    }  # fmt: skip
    return row, frames


def roughness(alpha: np.ndarray) -> float:
    """Length of the outline of a matte [H, W] uint8, over that of the matte made smooth."""
    return _outline(alpha) / _outline(cv2.GaussianBlur(alpha, (0, 0), SMOOTH))


def _outline(alpha: np.ndarray) -> float:
    lines, _ = cv2.findContours(
        (alpha > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    return sum(cv2.arcLength(line, True) for line in lines)


def main(options: Options) -> None:
    rows, shown = [], []
    for path in options.pictures or sorted(CLIPS.iterdir()):
        still = cut_out(path)
        for motion in options.motions:
            row, frames = measure(path.stem, still, motion)
            rows.append(row)
            print(json.dumps(row))
            picked = frames[:: FRAMES // SHOWN]
            shown += [cv2.resize(over(f), (160, 160), interpolation=cv2.INTER_AREA) for f in picked]
    if options.sheet:
        iio.imwrite(options.sheet, tile(np.stack(shown), SHOWN), quality=88)
    if options.json:
        with replacing(options.json) as file:
            file.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
