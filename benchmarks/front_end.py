"""Embedded multi-view engine against ground truth, before any optimization.

python -m benchmarks.front_end CASE [CASE ...] [--json benchmarks/results/front_end.json]

What the engine makes of the front frames of a case is rendered at some moments from the held-out
cameras and, where available, the six poses of the views, and compared with the truth, beside a
billboard: the input pasted in every view. Scores are given unchanged and after one shift along the
viewing direction for the whole clip, because the distance of an object cannot be seen in a single
view.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
import tyro
from scipy.spatial import cKDTree

from ds4d.cameras import Cameras, concatenate, project, read_case_cameras
from ds4d.evaluation import metrics
from ds4d.images import load_images
from ds4d.multiview.inflate.model import fit
from ds4d.multiview.inflate.solid import Solid, render
from ds4d.run.events import result

EVERY = 6  # stride of the compared frames
SHIFTS = np.linspace(-0.15, 0.15, 31)  # along the viewing direction, world units
SIDES, BACK = ("heldout/az-075", "heldout/az+105"), ("heldout/az+195",)
MAX_POINTS = 5000  # points used for chamfer distances
COARSE = 64  # side of the masks that determine the shift, pixels


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]]
    """case folders with truth"""
    json: Path | None = None
    """file for the rows as JSON"""


@dataclasses.dataclass(frozen=True)
class Truth:
    """Ground truth at K moments of the clip from C cameras."""

    moments: list[int]
    cameras: Cameras  # C
    names: list[str]
    images: np.ndarray  # [K, C, H, W, 4] uint8
    vertices: list[np.ndarray] | None  # K x [M, 3]


def read_truth(case: Path, every: int = EVERY) -> Truth:
    """Read the truth at every `every`-th frame: held-out views, then the six views if available."""
    known = read_case_cameras(case / "cameras.json")
    held_out = [path for path in sorted((case / "heldout").iterdir()) if path.is_dir()]
    moments = [int(path.stem) for path in sorted(held_out[0].glob("*.png"))]
    moments = [moment for moment in moments if moment % every == 0]
    files = {
        f"heldout/{path.name}": [path / f"{moment:04d}.png" for moment in moments]
        for path in held_out
    }
    if (case / "multiview").is_dir():
        for view in range(6):
            views = [case / "multiview" / f"{moment:04d}" / f"{view}.png" for moment in moments]
            files[f"multiview/{view}"] = views
    images = [[iio.imread(paths[k]) for paths in files.values()] for k in range(len(moments))]
    size = images[0][0].shape[0]
    cameras = concatenate([known[name].resized(size, size) for name in files])
    vertices = None
    if (case / "gt_vertices.npz").exists():
        tracks = np.load(case / "gt_vertices.npz")["vertices"].astype(np.float32)
        vertices = [tracks[moment] for moment in moments]
    return Truth(moments, cameras, list(files), np.array(images), vertices)


def measure(case: Path) -> dict:
    """Measure one case: scores by camera, means over the held-out cameras, and seconds."""
    truth = read_truth(case)
    frames = load_images(case / "input")
    front = read_case_cameras(case / "cameras.json")["input"]
    front = front.resized(*frames.shape[2:0:-1])
    started = time.perf_counter()
    model = result(fit(frames, front))
    solids = [model.solid(moment) for moment in truth.moments]
    seconds = time.perf_counter() - started
    row = {"case": case.resolve().name, "slant": model.said, "seconds": round(seconds, 1)}
    pasted = frames[truth.moments][:, None].repeat(len(truth.cameras), 1)
    row["billboard"] = scores(pasted, truth)
    points = [solid.vertices for solid in solids]
    row["unshifted"] = scores(drawn(solids, truth), truth) | distances(points, truth)
    shift = best_shift(points, truth)
    points = [shifted(each, shift) for each in points]
    moved = [
        dataclasses.replace(solid, vertices=each)
        for solid, each in zip(solids, points, strict=True)
    ]
    row["shift"] = round(float(shift), 3)
    row["shifted"] = scores(drawn(moved, truth), truth) | distances(points, truth)
    return row


def drawn(solids: list[Solid], truth: Truth) -> np.ndarray:
    """Images [K, C, H, W, 4] of the solids at K moments."""
    return np.stack([render(solid, truth.cameras) for solid in solids])


def scores(pictures: np.ndarray, truth: Truth) -> dict:
    """Score pictures [K, C, H, W, 4]: held-out views (psnr_fg, mask IoU, motion PSNR), sides and
    back of them apart, and each camera (psnr_fg, IoU)."""
    by_camera, motions = {}, []
    for index, name in enumerate(truth.names):
        pairs = [
            (*metrics.on_white(own), *metrics.on_white(true))
            for own, true in zip(pictures[:, index], truth.images[:, index], strict=True)
        ]
        psnr = np.mean([metrics.psnr_fg(p, t, pm, tm) for p, pm, t, tm in pairs])
        iou = np.mean([metrics.mask_iou(pm, tm) for _, pm, _, tm in pairs])
        by_camera[name] = (round(float(psnr), 2), round(float(iou), 3))
        if name.startswith("heldout"):
            own, true = (np.stack([pair[i] for pair in pairs]) for i in (0, 2))
            motions.append(metrics.motion_psnr(own, true))
    kept = [name for name in by_camera if name.startswith("heldout")]

    def mean(names: Sequence[str]) -> tuple[float, float] | None:
        values = np.array([by_camera[name] for name in names if name in by_camera])
        return (
            (round(float(values[:, 0].mean()), 2), round(float(values[:, 1].mean()), 3))
            if len(values)
            else None
        )

    psnr_fg, mask_iou = mean(kept)
    return {
        "psnr_fg": psnr_fg,
        "mask_iou": mask_iou,
        "motion_psnr": round(float(np.mean([m for m in motions if m is not None])), 2),
        "sides": mean(SIDES), "back": mean(BACK), "by_camera": by_camera,
    }  # fmt: skip


def distances(points: list[np.ndarray], truth: Truth) -> dict:
    """Mean chamfer distance of points, K x [N, 3], to the true vertices, world units; None without
    them."""
    values = [
        chamfer_distance(subsampled(own), vertices)
        for own, vertices in zip(points, truth.vertices or (), strict=False)
    ]
    return {"chamfer": round(float(np.mean(values)), 4) if values else None}


def chamfer_distance(points: np.ndarray, vertices: np.ndarray) -> float:
    """Symmetric mean nearest-neighbour distance of [N, 3] and [M, 3], world units."""
    to_vertices = cKDTree(vertices).query(points)[0]
    to_points = cKDTree(points).query(vertices)[0]
    return float(to_vertices.mean() + to_points.mean()) / 2


def best_shift(points: list[np.ndarray], truth: Truth) -> float:
    """Shift along y of points, K x [N, 3], that maximizes the overlap with the true silhouettes,
    world units."""
    cameras = truth.cameras.resized(COARSE, COARSE)
    step = truth.images.shape[2] // COARSE
    true = truth.images[:, :, ::step, ::step, 3] > 127
    overlaps = []
    for shift in SHIFTS:
        masks = np.stack([_mask(shifted(each, shift), cameras) for each in points])
        overlaps.append((masks & true).sum() / (masks | true).sum())
    return SHIFTS[int(np.argmax(overlaps))]


def shifted(points: np.ndarray, shift: float) -> np.ndarray:
    """Points [N, 3] farther along the viewing direction, world units."""
    return points + np.array([0, shift, 0], np.float32)


def subsampled(points: np.ndarray) -> np.ndarray:
    """Subsample points [N, 3] evenly to about MAX_POINTS."""
    return points[:: max(1, len(points) // MAX_POINTS)]


def _mask(points: np.ndarray, cameras: Cameras) -> np.ndarray:
    """Pixels hit by the projected points [N, 3], [C, H, W] bool."""
    pixels = project(torch.from_numpy(points), cameras)[0].long()
    mask = np.zeros((len(cameras), COARSE, COARSE), bool)
    for index, (column, row) in enumerate(pixels.clamp(0, COARSE - 1).numpy().transpose(0, 2, 1)):
        mask[index, row, column] = True
    return mask


def main(options: Options) -> None:
    rows = []
    for case in options.cases:
        rows.append(measure(case))
        print(json.dumps(rows[-1]), flush=True)
    print("\n| case | billboard | all | sides | back | shifted | chamfer | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        own, moved = row["unshifted"], row["shifted"]
        cells = [own["sides"], own["back"], (moved["psnr_fg"], moved["mask_iou"])]
        cells = [(part["psnr_fg"], part["mask_iou"]) for part in (row["billboard"], own)] + cells
        shown = [f"{cell[0]} / {cell[1]}" if cell else "" for cell in cells]
        shown[-1] = f"{row['shift']}: {shown[-1]}"
        chamfer = f"{own['chamfer']}, {moved['chamfer']}"
        print("|", " | ".join([row["case"], *shown, chamfer, str(row["seconds"])]), "|")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
