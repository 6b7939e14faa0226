"""The embedded multi-view engine against ground truth, before any optimization.

python -m benchmarks.front_end CASE [CASE ...] [--json benchmarks/front_end.json]

The front frames of a case are inflated; the objects of some moments are drawn from the held-out
cameras and, where a case has them, from the six poses of the views, and compared with the truth
there. Once as they are, once after one shift along the viewing direction for the whole clip: how
far away an object stands cannot be seen from one side.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
import tyro
from scipy.spatial import cKDTree

from ds4d.cameras import Cameras, concatenate, project, read_case_cameras
from ds4d.evaluation import metrics
from ds4d.images import load_images
from ds4d.multiview.inflate import draw
from ds4d.multiview.inflate.model import describe, prepare, solid
from ds4d.run.events import result
from ds4d.splatting import Splats

EVERY = 6  # of the frames one in so many is compared
SHIFTS = np.linspace(-0.15, 0.15, 31)  # along the viewing direction, world units
SOLID = 0.5  # opacity from which on a Gaussian counts as a point of the object
MANY = 5000  # points of a shell that its distance to the truth is measured with
COARSE = 64  # side of the masks that choose a shift, pixels


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]]
    """case folders with truth"""
    json: Path | None = None
    """file for the rows as JSON"""


@dataclasses.dataclass(frozen=True)
class Truth:
    """What the benchmark compares with, at K moments of the clip from C cameras."""

    moments: list[int]
    cameras: Cameras  # C
    names: list[str]
    images: np.ndarray  # [K, C, H, W, 4] uint8
    vertices: list[np.ndarray] | None  # K x [M, 3]


def read_truth(case: Path, every: int = EVERY) -> Truth:
    """The truth at one in `every` frames: the held-out views, then the six views if there are."""
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
    """One case: its scores, by camera and as means of the held-out ones, and seconds."""
    truth = read_truth(case)
    frames = load_images(case / "input")
    front = read_case_cameras(case / "cameras.json")["input"]
    front = front.resized(*frames.shape[2:0:-1])
    started = time.perf_counter()
    model = result(prepare(frames, front))
    solids = [solid(model, moment) for moment in truth.moments]
    seconds = time.perf_counter() - started
    shift = best_shift(solids, truth)
    row = {"case": case.resolve().name, "said": describe(model.slant)}
    row["seconds"] = round(seconds, 1)
    row["as_it_is"] = scores(solids, truth, drawn)
    row["shift"] = round(float(shift), 3)
    row["shifted"] = scores([shifted(one, shift) for one in solids], truth, drawn)
    return row


def drawn(shells: Splats, cameras: Cameras) -> np.ndarray:
    """The engine's own way to draw its shells, [C, H, W, 4] uint8."""
    return draw(shells, cameras)


def scores(
    solids: list[Splats], truth: Truth, paint: Callable[[Splats, Cameras], np.ndarray]
) -> dict:
    """psnr_fg, mask IoU and motion PSNR of the held-out views; psnr_fg and IoU by camera; chamfer
    distances by moment and their mean."""
    pictures = np.stack([paint(one, truth.cameras) for one in solids])  # [K, C, ...]
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
    kept = np.array([value for name, value in by_camera.items() if name.startswith("heldout")])
    distances = [
        round(chamfer_distance(few(points(one)), vertices), 4)
        for one, vertices in zip(solids, truth.vertices or (), strict=False)
    ]
    return {
        "psnr_fg": round(float(kept[:, 0].mean()), 2),
        "mask_iou": round(float(kept[:, 1].mean()), 3),
        "motion_psnr": round(float(np.mean([m for m in motions if m is not None])), 2),
        "chamfer": round(float(np.mean(distances)), 4) if distances else None,
        "chamfer_by_moment": distances, "by_camera": by_camera,
    }  # fmt: skip


def chamfer_distance(points: np.ndarray, vertices: np.ndarray) -> float:
    """Mean distance to the other's nearest point, both ways, of [N, 3] and [M, 3]; world units."""
    there, back = cKDTree(vertices).query(points)[0], cKDTree(points).query(vertices)[0]
    return float(there.mean() + back.mean()) / 2


def best_shift(solids: list[Splats], truth: Truth) -> float:
    """The shift along y that brings the silhouettes closest to the true ones."""
    cameras = truth.cameras.resized(COARSE, COARSE)
    step = truth.images.shape[2] // COARSE
    true = truth.images[:, :, ::step, ::step, 3] > 127
    overlaps = []
    for shift in SHIFTS:
        masks = np.stack([_mask(shifted(one, shift), cameras) for one in solids])
        overlaps.append((masks & true).sum() / (masks | true).sum())
    return SHIFTS[int(np.argmax(overlaps))]


def shifted(solid: Splats, shift: float) -> Splats:
    along = solid.means.new_tensor([0.0, float(shift), 0.0])
    return dataclasses.replace(solid, means=solid.means + along)


def points(solid: Splats) -> np.ndarray:
    """The centres of those Gaussians that can be seen well, [N, 3]."""
    return solid.means[solid.opacities > SOLID].cpu().numpy()


def few(points: np.ndarray) -> np.ndarray:
    """Of a shell's many points [N, 3] about MANY, evenly."""
    return points[:: max(1, len(points) // MANY)]


def _mask(solid: Splats, cameras: Cameras) -> np.ndarray:
    """Which pixels the centres fall on, [C, H, W] bool."""
    pixels = (
        project(torch.from_numpy(points(solid)), cameras)[0].long().clamp(0, COARSE - 1).numpy()
    )
    mask = np.zeros((len(cameras), COARSE, COARSE), bool)
    for index, (column, row) in enumerate(pixels.transpose(0, 2, 1)):
        mask[index, row, column] = True
    return mask


def main(options: Options) -> None:
    rows = []
    for case in options.cases:
        rows.append(measure(case))
        print(json.dumps(rows[-1]), flush=True)
    print("\n| case | psnr_fg, dB | mask IoU | motion PSNR, dB | shifted | chamfer | seconds |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        kept, moved = row["as_it_is"], row["shifted"]
        print(
            f"| {row['case']} | {kept['psnr_fg']} | {kept['mask_iou']} | {kept['motion_psnr']} "
            f"| {row['shift']}: {moved['psnr_fg']} / {moved['mask_iou']} / {moved['motion_psnr']} "
            f"| {kept['chamfer']} | {row['seconds']} |"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
