"""Scores of a cell: held-out views if the case has truth, else fidelity to the clip and flicker."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ds4d.cameras import concatenate, orbit_cameras
from ds4d.evaluation import evaluate
from ds4d.evaluation.metrics import on_white, psnr, psnr_fg
from ds4d.fourd.asset import Asset
from ds4d.images import load_images
from ds4d.render.turntable import render_views
from ds4d.run.events import result

from ..front_end import chamfer_distance

METRICS = ("psnr_fg", "mask_iou", "motion_psnr", "psnr", "ssim", "temporal_psnr")
AROUND = (-75.0, 15.0, 105.0, 195.0)  # azimuths of the flicker metric, degrees
SOLID = 0.5  # smallest opacity of a Gaussian that counts as a point of the object


def of(asset: Asset, case: Path, work: Path) -> dict[str, float]:
    """Held-out metrics and chamfer distance for a case with truth; else fidelity and flicker."""
    if not (case / "heldout").exists():
        return {**fidelity(asset, work), "flicker": flicker(asset)}
    found = result(evaluate(asset, case, work / "evaluation"))["heldout"]
    row = {name: found[name] for name in METRICS}
    if (case / "gt_vertices.npz").exists():
        row["chamfer"] = chamfer(asset, np.load(case / "gt_vertices.npz")["vertices"])
    return row


def fidelity(asset: Asset, work: Path) -> dict[str, float]:
    """PSNR of the front renders against the frames of the clip, dB."""
    frames = load_images(work / "frames")  # [T, S, S, 4]
    front = asset.cameras[0].resized(*frames.shape[1:3])
    positions = asset.positions.tolist()
    drawn = render_views(asset, concatenate([front] * len(frames)), positions)
    pairs = [(on_white(a), on_white(b)) for a, b in zip(drawn, frames, strict=True)]
    return {
        "front_psnr_fg": float(np.mean([psnr_fg(a, b, of, at) for (a, of), (b, at) in pairs])),
        "front_psnr": float(np.mean([psnr(a, b) for (a, _), (b, _) in pairs])),
    }


def flicker(asset: Asset) -> float:
    """Mean absolute second difference over time of still side views, in 1/255 of full range.

    Zero for uniform motion, large for jitter from frame to frame.
    """
    positions = asset.positions.tolist()
    total = 0.0
    for azimuth in AROUND:
        camera = orbit_cameras([azimuth], 0.0, size=256)
        drawn = render_views(asset, concatenate([camera] * len(positions)), positions)
        colors = np.stack([on_white(image)[0] for image in drawn])
        total += np.abs(colors[2:] - 2 * colors[1:-1] + colors[:-2]).mean()
    return float(255 * total / len(AROUND))


def chamfer(
    asset: Asset,
    vertices: np.ndarray,  # [T, M, 3] world
) -> float:
    """Mean distance between solid Gaussians and true vertices, both ways, world units."""
    distances = []
    for position, truth in zip(asset.positions.tolist(), vertices.astype(np.float32), strict=True):
        splats = asset.splats(position)
        means = splats.means[splats.opacities > SOLID].cpu().numpy()
        if not len(means):  # nothing is solid after a few steps
            return float("inf")
        distances.append(chamfer_distance(means, truth))
    return float(np.mean(distances))
