"""Motion against flicker in the embedded features: average precision of DSFD's dynamic map.

python -m benchmarks.descriptors CASE [CASE ...] [--json benchmarks/results/descriptors.json]

A token moves at a frame when the clean pictures differ there from the middle frame's, in more than
a twentieth of its pixels by more than a tenth of a channel's range. The features see the pictures
spoiled: "lit" are the front frames in a light that changes (brightness, tint and a gradient, anew
in every frame); "pseudo" are the six views as a case has them in multiview_noisy (warped, tinted,
blurred). Tokens that the object never touches in the frame or in the middle one do not count.
Beside the dynamic map, the plain difference of the spoiled colours is scored.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np
import torch
import tyro

from ds4d.features.descriptors import describe
from ds4d.fourd.dsfd import decouple
from ds4d.images import load_images

GRID = 18
NOISY = "multiview_noisy"
EVERY = 3  # of the frames one in so many is looked at
CHANGED = 0.1  # of a channel's range: a pixel that differs by more has changed
SHARE = 0.05  # of a token's pixels, from which on the token moves
GAIN, TINT, SLOPE = 0.15, 0.04, 0.2  # of the changing light: brightness, channels, across the image


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]]
    """case folders: input/, and perhaps multiview/ with multiview_noisy/"""
    json: Path | None = None
    """file for the rows as JSON"""


def measure(case: Path) -> list[dict]:
    """One row for each way to spoil the case's pictures."""
    fronts = load_images(case / "input")[:, None]
    chosen = sorted({*range(0, len(fronts), EVERY), len(fronts) // 2})
    middle = chosen.index(len(fronts) // 2)
    fronts = fronts[chosen]
    pairs = {"lit": (fronts, relit(fronts))}
    if (case / "multiview_noisy").is_dir():
        pairs["pseudo"] = tuple(_views(case / name, chosen) for name in ("multiview", NOISY))
    return [
        {"case": case.resolve().name, "pictures": name, **scores(clean, spoiled, middle)}
        for name, (clean, spoiled) in pairs.items()
    ]


def scores(clean: np.ndarray, spoiled: np.ndarray, middle: int) -> dict:
    """Average precision of the features and of plain differences; pictures [T, V, S, S, 4]."""
    moves = _tokens(np.abs(_white(clean) - _white(clean)[middle]).max(-1) > CHANGED) > SHARE
    touched = _tokens(clean[..., 3] > 127) > 0
    counts = touched | touched[middle]
    counts[middle] = False
    features = np.stack([[describe(view, GRID) for view in views] for views in spoiled])
    decoupled = decouple(torch.from_numpy(features))
    dynamic = decoupled[..., features.shape[-1] :].norm(dim=-1).numpy()
    colors = _tokens(_white(spoiled))
    plain = sum(np.abs(colors - other).mean(-1) for other in (colors[middle], colors.mean(0)))
    return {
        "moving": round(float(moves[counts].mean()), 3),
        "features": round(average_precision(dynamic[counts], moves[counts]), 3),
        "colours": round(average_precision(plain[counts], moves[counts]), 3),
    }


def average_precision(score: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the true ones of the precision at each one's rank."""
    hits = truth[np.argsort(-score, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def relit(images: np.ndarray) -> np.ndarray:
    """Pictures [T, V, S, S, 4] in a light that changes from frame to frame."""
    rng, size = np.random.default_rng(0), images.shape[2]
    across = np.linspace(-0.5, 0.5, size)
    lit = images.astype(np.float32)
    for views in lit:
        light = 1 + GAIN * rng.uniform(-1, 1) + TINT * rng.uniform(-1, 1, 3)
        slope = SLOPE * rng.uniform(-1, 1, 2)
        gradient = slope[0] * across[:, None] + slope[1] * across
        views[..., :3] *= (light + gradient[..., None]).astype(np.float32)
    return np.rint(lit.clip(0, 255)).astype(np.uint8)


def _views(folder: Path, frames: list[int]) -> np.ndarray:
    paths = [sorted((folder / f"{frame:04d}").glob("*.png")) for frame in frames]
    return np.stack([[iio.imread(path) for path in row] for row in paths])


def _white(images: np.ndarray) -> np.ndarray:
    """RGBA uint8 -> RGB over white in [0, 1]."""
    rgba = images.astype(np.float32) / 255
    return 1 - (1 - rgba[..., :3]) * rgba[..., 3:]


def _tokens(images: np.ndarray) -> np.ndarray:
    """Means of [T, V, S, S, ...] over each token, [T, V, GRID, GRID, ...]."""
    flat = images.reshape(-1, *images.shape[2:]).astype(np.float32)
    means = [cv2.resize(one, (GRID, GRID), interpolation=cv2.INTER_AREA) for one in flat]
    return np.stack(means).reshape(*images.shape[:2], GRID, GRID, *images.shape[4:])


def main(options: Options) -> None:
    rows = [row for case in options.cases for row in measure(case)]
    print("| case | pictures | tokens that move | features | plain colours |\n" + "|---" * 5 + "|")
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
