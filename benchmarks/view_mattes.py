"""Mattes of views that a network draws on grey, on the true views of cases.

    python -m benchmarks.view_mattes CASE [CASE ...] [--views multiview]

The true views are laid on the grey of Zero123++, at its size, with what its pictures have: soft
noise and a slight tint of each picture. Compared are the mattes of `matting.plain` and those of the
classical engine, which takes a view's pictures for a clip.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tyro

from ds4d.images import load_pngs, over
from ds4d.matting import classical, plain
from ds4d.multiview.zero123plus.preprocessing import GREY
from ds4d.run.events import result

SIZE = 320  # of Zero123++'s views, pixels
NOISE, GRAIN, TINT = 6.0, 1.2, 3.0  # levels, pixels that it is blurred by, levels


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]]
    """case folders"""
    views: str = "multiview"
    """folder of the six views in each"""


def true_views(folder: Path) -> np.ndarray:
    """The six views of each frame of a case [T, 6, SIZE, SIZE, 4] uint8."""
    moments = sorted(path for path in folder.iterdir() if path.is_dir())
    views = np.stack([load_pngs([moment / f"{k}.png" for k in range(6)]) for moment in moments])
    flat = views.reshape(-1, *views.shape[2:])
    sized = np.stack([cv2.resize(v, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for v in flat])
    return sized.reshape(*views.shape[:2], SIZE, SIZE, 4)


def as_drawn(views: np.ndarray) -> np.ndarray:
    """Views [T, SIZE, SIZE, 4] on grey, with noise and tints [T, SIZE, SIZE, 3] uint8."""
    dice = np.random.default_rng(0)
    pictures = np.empty((*views.shape[:-1], 3), np.uint8)
    for picture, view in zip(pictures, views, strict=True):
        noise = cv2.GaussianBlur(dice.normal(0, NOISE, picture.shape), (0, 0), GRAIN)
        picture[:] = (over(view, GREY) + noise + dice.normal(0, TINT, 3)).clip(0, 255)
    return pictures


def measure(views: np.ndarray, matte: Callable[[np.ndarray], np.ndarray]) -> dict:
    """IoU in the mean and of the worst picture, and processor seconds of all pictures."""
    ious, seconds = [], 0.0
    for view in range(views.shape[1]):
        pictures, true = as_drawn(views[:, view]), views[:, view, ..., 3] > 127
        started = time.process_time()
        made = matte(pictures) > 127
        seconds += time.process_time() - started
        ious.append((made & true).sum((1, 2)) / (made | true).sum((1, 2)))
    return {
        "iou": round(float(np.mean(ious)), 4),
        "worst": round(float(np.min(ious)), 4),
        "processor_seconds": round(seconds, 1),
    }


def main(options: Options) -> None:
    engines = {"plain": plain.mattes, "classical": lambda pictures: result(classical.run(pictures))}
    for case in options.cases:
        views = true_views(case / options.views)
        for name, matte in engines.items():
            print(json.dumps({"case": case.name, "engine": name, **measure(views, matte)}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
