"""Frames made by interpolation against the true ones.

python -m benchmarks.interpolation CASE [CASE ...] [--json benchmarks/results/interpolation.json]

Every second front frame of a case is left out and made again from its neighbours: by optical flow,
by plain blending (premultiplied), and by repeating the frame before. Made frames are compared with
the true ones over white.

python -m benchmarks.interpolation CASE --folder FOLDER
python -m benchmarks.quality FOLDER/* --configs none --views multiview,none

writes three cases instead, with the same held-out moments: CASE_half without every second frame,
CASE_made with frames made in their places, CASE_true with the true ones. The six views of a made
frame are made as the frame is: from those of its neighbours.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro

from ds4d.evaluation import metrics
from ds4d.images import load_images, load_pngs, save_images, save_pngs
from ds4d.interpolation import between
from ds4d.interpolation.frames import filled_in
from ds4d.run.events import result


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]]
    """case folders with an input of at least three frames"""
    json: Path | None = None
    """file for the rows as JSON"""
    folder: Path | None = None
    """where cases for benchmarks.quality go, instead of comparing frames"""


def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The frame halfway between two [S, S, 4] uint8, as a run makes it."""
    return between(first, second, [0.5])[0]


def blended(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The mean of two frames, colours weighted by opacity."""
    frames = np.stack([first, second]).astype(np.float32)
    opacity = frames[..., 3:]
    colors = (frames[..., :3] * opacity).sum(0) / np.maximum(opacity.sum(0), 1)
    return np.dstack([colors, opacity.mean(0)]).round().astype(np.uint8)


def nearest(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The frame before."""
    return first


WAYS: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (flow, blended, nearest)


def measure(case: Path) -> dict:
    """Measure one case: psnr_fg (dB), IoU and share of half-transparent pixels, by way."""
    frames = load_images(case / "input")
    truth = frames[1:-1:2]
    row: dict = {"case": case.resolve().name, "frames": len(truth)}
    row["truth"] = {"half_transparent": _share(truth)}
    for way in WAYS:
        started = time.perf_counter()
        pairs = zip(frames[0:-2:2], frames[2::2], strict=True)
        made = np.stack([way(*pair) for pair in pairs])
        seconds = (time.perf_counter() - started) / len(made)
        row[way.__name__] = scores(made, truth) | {"seconds_per_frame": round(seconds, 3)}
    return row


def scores(made: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Means over frames [K, S, S, 4] uint8."""
    pairs = [(*metrics.on_white(own), *metrics.on_white(true))
             for own, true in zip(made, truth, strict=True)]  # fmt: skip
    psnr = [metrics.psnr_fg(color, true, mask, solid) for color, mask, true, solid in pairs]
    iou = [metrics.mask_iou(mask, solid) for _, mask, _, solid in pairs]
    return {
        "psnr_fg": round(float(np.mean(psnr)), 2), "mask_iou": round(float(np.mean(iou)), 3),
        "half_transparent": _share(made),
    }  # fmt: skip


def _share(frames: np.ndarray) -> float:
    """Share of an object's pixels that are neither clear nor solid: edges, and ghosts."""
    alpha = frames[..., 3]
    return round(float(((alpha > 50) & (alpha < 205)).sum() / (alpha > 50).sum()), 3)


def write_cases(case: Path, folder: Path) -> None:
    """Write the case with half of its frames, with made ones between them, and with true ones."""
    whole = [load_images(case / "input")]  # of each camera, [T, S, S, 4]
    moments = (len(whole[0]) + 1) // 2 * 2 - 1  # odd: the last one is kept
    for view in range(6):
        files = (case / f"multiview/{t:04d}/{view}.png" for t in range(moments))
        whole.append(load_pngs(files))
    whole = [frames[:moments] for frames in whole]
    half = [frames[::2] for frames in whole]
    made = [result(filled_in(frames, 2, between)) for frames in half]
    description = json.loads((case / "cameras.json").read_text()) | {"n_frames": moments}
    for name, sequences in (("half", half), ("made", made), ("true", whole)):
        out = folder / f"{case.resolve().name}_{name}"
        out.mkdir(parents=True)
        (out / "cameras.json").write_text(json.dumps(description))
        save_images(out / "input", sequences[0])
        for t, views in enumerate(zip(*sequences[1:], strict=True)):
            (out / f"multiview/{t:04d}").mkdir(parents=True)
            save_pngs([out / f"multiview/{t:04d}/{k}.png" for k in range(6)], views)
        for truth in (case / "heldout").iterdir():
            (out / "heldout" / truth.name).mkdir(parents=True)
            for t in range(moments):
                file = f"heldout/{truth.name}/{t:04d}.png"
                (out / file).symlink_to((case / file).resolve())


def main(options: Options) -> None:
    if options.folder:
        for case in options.cases:
            write_cases(case, options.folder)
        return
    rows = [measure(case) for case in options.cases]
    print(json.dumps(rows, indent=1))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
