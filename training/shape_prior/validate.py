"""Measure a trained shape prior on the held-out objects, beside inflation and a billboard.

    python -m training.shape_prior.validate --assets ASSETS --weights WEIGHTS --out FOLDER

Writes FOLDER/validation.json: errors in thousandths of the frame's width.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csc_matrix, eye
from scipy.sparse.linalg import spsolve
from torch import Tensor

from ds4d.multiview.shape_prior.inference import GROUP, WEIGHTS, Prior, likely_slants, spreads
from ds4d.multiview.shape_prior.network import Surfaces

from .assets import read_folder, split
from .motion import Variation
from .views import Clips, PointClouds, render_clips

ROUND = 0.9  # thickness of an inflated shape over that of a sphere of the same outline
LEANING = 15.0  # degrees: slants beyond this have a sign
LEVELS = (0.5, 0.8, 0.95)  # of the calibration


@dataclass(frozen=True)
class Validation:
    """Settings."""

    assets: Path
    out: Path
    weights: Path = WEIGHTS
    azimuths: int = 4  # of every object
    points: int = 200_000
    limit: int | None = None  # objects
    device: str = "cuda" if torch.cuda.is_available() else "cpu"


def main(settings: Validation) -> None:
    """Measure and write."""
    settings.out.mkdir(parents=True, exist_ok=True)
    _, assets = split(read_folder(settings.assets))
    assets = assets[: settings.limit]
    prior = Prior.load(settings.weights, settings.device)
    clouds = PointClouds(assets, settings.points, settings.device)
    rows = []
    for number in range(settings.azimuths * len(assets)):
        index = number % len(assets)
        asset = assets[index]
        rng = torch.Generator(settings.device).manual_seed(number)
        yaw = 2 * math.pi * torch.rand(1, device=settings.device, generator=rng)
        clips = render_clips(
            clouds,
            torch.tensor([index], device=settings.device),
            GROUP if asset.clips else 1,
            prior.network.sizes.pixels,
            rng,
            Variation.none(),
            yaw,
            0.0,
        )
        about = {"name": asset.name, "category": asset.category, "animated": asset.clips > 0}
        rows.append(about | {"azimuth": float(yaw)} | measure(prior, clips))
    summary = summarize(rows)
    (settings.out / "validation.json").write_text(json.dumps({"summary": summary, "clips": rows}))
    print(json.dumps(summary, indent=1))


@torch.inference_mode()
def measure(prior: Prior, clips: Clips) -> dict:
    """Figures of one clip."""
    encoded = prior.network.encode(clips.images)
    logits = prior.slant_logits(clips.images, encoded.slants)
    slants, chances = likely_slants(logits[0])
    slants, chances = (x.to(clips.images.device) for x in (slants, chances))
    found = prior.network.decode(clips.images, encoded.features, slants[None])
    given = prior.network.decode(clips.images, encoded.features, clips.slants)
    mask = clips.mask[0]
    flat = torch.zeros_like(found.middle)
    half = ROUND * inflated(mask)
    colors = clips.images[0, :, :3]
    none = torch.zeros_like(found.log_spreads)
    unplaced = torch.zeros_like(found.extents), torch.zeros_like(found.targets)
    engines = {
        "network": found,
        "slant given": given,
        "inflation": Surfaces(flat, half, colors, none, *unplaced),
        "billboard": Surfaces(flat, flat, colors, none, *unplaced),
    }
    row: dict = {name: errors(surfaces, clips) for name, surfaces in engines.items()}
    true, estimated = torch.rad2deg(clips.slants[0]), torch.rad2deg(slants)
    row["slant"] = {"true": float(true.mean()), "found": float(estimated.mean())}
    row["slant"]["off"] = float((true - estimated).abs().mean())
    row["slant"]["chance"] = float(chances.amax(-1).mean())
    expected = spreads(found.log_spreads, clips.images[0], slants, chances)
    row["calibration"] = calibration(found, clips, expected)
    return row


def errors(surfaces: Surfaces, clips: Clips) -> dict[str, float]:
    """Mean absolute errors, thousandths; each frame's common offset in depth is taken out."""
    mask, front, back = clips.mask[0], clips.front[0], clips.back[0]
    middle = (front + back) / 2

    def mean(values: Tensor) -> Tensor:
        return (values * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)

    offset = mean(surfaces.middle - middle)[:, None, None]
    off = {
        "front": surfaces.front - offset - front,
        "back": surfaces.back - offset - back,
        "thickness": surfaces.back - surfaces.front - (back - front),
        "middle": surfaces.middle - offset - middle,
        "colors": (surfaces.back_colors - clips.back_colors[0]).abs().mean(1),
    }
    found = {name: 1000 * float(mean(error.abs()).mean()) for name, error in off.items()}
    return found | {
        "target": 1000 * float((offset.mean() + clips.targets - surfaces.targets).abs())
    }


def calibration(surfaces: Surfaces, clips: Clips, expected: Tensor) -> dict[str, float]:
    """Share of the pixels whose front is within the error expected at each level, and the errors
    of the more and the less confident half."""
    mask = clips.mask[0]
    off = surfaces.front - clips.front[0]
    off = off - ((off * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1))[:, None, None]
    error, expected = off.abs()[mask], expected[:, 0][mask]
    shares = {
        f"within {level}": float((error < -expected * np.log(1 - level)).float().mean())
        for level in LEVELS
    }
    sure = expected <= expected.median()
    halves = {"sure": error[sure].mean(), "unsure": error[~sure].mean() if (~sure).any() else 0.0}
    shares |= {name: 1000 * float(value) for name, value in halves.items()}
    return shares | {"error": 1000 * float(error.mean()), "expected": 1000 * float(expected.mean())}


def inflated(mask: Tensor) -> Tensor:
    """Half thickness [T, S, S] of round shapes with these outlines: sqrt(4 h), Laplace h = -1."""
    solved: dict[bytes, np.ndarray] = {}  # frames of an object at rest are alike
    frames = []
    for inside in mask.cpu().numpy():
        key = inside.tobytes()
        if key not in solved:
            solved[key] = np.sqrt(4 * _poisson(inside).clip(0))
        frames.append(solved[key])
    return torch.from_numpy(np.stack(frames)).float().to(mask.device)


def _poisson(inside: np.ndarray) -> np.ndarray:
    """Solution [S, S] of Laplace h = -1 with h = 0 outside, on a grid of eight neighbours."""
    size, count = len(inside), int(inside.sum())
    index = np.full((size + 2, size + 2), -1)
    index[1:-1, 1:-1][inside] = np.arange(count)
    row, column = (places + 1 for places in np.nonzero(inside))
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    beside = np.stack([index[row + i, column + j] for i, j in steps])  # [8, count]
    own = np.broadcast_to(np.arange(count), beside.shape)[beside >= 0]
    weights = np.full(len(own), 1 / 8)
    mean = csc_matrix((weights, (own, beside[beside >= 0])), (count, count))
    height = np.zeros(inside.shape)
    if count:
        height[inside] = spsolve(eye(count, format="csc") - mean, np.full(count, 3 / 8 / size**2))
    return height


def summarize(rows: list[dict]) -> dict:
    """Means over all clips, by category, and over animated ones."""
    groups = {"all": rows, "animated": [row for row in rows if row["animated"]]}
    for row in rows:
        groups.setdefault(row["category"], []).append(row)
    return {name: _means(group) for name, group in groups.items() if group}


def _means(rows: list[dict]) -> dict:
    means: dict = {"clips": len(rows)}
    for part in ("network", "slant given", "inflation", "billboard", "calibration"):
        values = {key: np.mean([row[part][key] for row in rows]) for key in rows[0][part]}
        means[part] = {key: round(float(value), 3) for key, value in values.items()}
    slants = [row["slant"] for row in rows]
    leaning = [s for s in slants if abs(s["true"]) > LEANING]
    means["slant"] = {
        "off": round(float(np.mean([s["off"] for s in slants])), 1),
        "within 15": round(float(np.mean([s["off"] < 15 for s in slants])), 3),
        "sign right": round(float(np.mean([s["true"] * s["found"] > 0 for s in leaning])), 3)
        if leaning
        else None,
        "leaning": len(leaning),
    }
    return means


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Validation))
