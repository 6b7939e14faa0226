"""The moving mesh against ground truth: shape, looks, skeleton, and a given mesh that follows.

python -m benchmarks.moving_mesh RUN CASE [RUN CASE ...] [--json FILE] [--out FOLDER]

RUN is a finished run of the case (its views decide what the figures stand for); CASE has heldout/,
mesh_middle.glb, and the same vertices [T, V, 3] in all frames in gt_mesh.npz or gt_vertices.npz.
Surfaces are compared at points spread by area; the rendered mesh is compared at the held-out
cameras, every EVERY-th frame. A given mesh is placed where the mesh stage would place it, and its
vertices are compared with their tracks, beside a mesh that stays as it is and nearest points frame
by frame.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
import tyro
from PIL import Image
from scipy.spatial import cKDTree

from ds4d.cameras import read_case_cameras
from ds4d.config import ExportConfig
from ds4d.evaluation.metrics import mask_iou, on_white, psnr_fg
from ds4d.export.animated_glb import write_morphing, write_skinned
from ds4d.fourd.asset import Asset
from ds4d.images import over
from ds4d.mesh import given
from ds4d.moving_mesh.geometry import Surface, face_normals
from ds4d.moving_mesh.given import place_given
from ds4d.moving_mesh.make import make
from ds4d.moving_mesh.model import MovingMesh
from ds4d.moving_mesh.rendering import render
from ds4d.moving_mesh.skinning import decompose
from ds4d.moving_mesh.surface import surface_of
from ds4d.multiview.views import load_views
from ds4d.run.events import result

POINTS = 20_000  # on each surface, of a chamfer distance
EVERY = 3  # stride of the rendered frames
STILL = 0.002  # world units per frame, by which the truth at a place moves at most to be still


@dataclasses.dataclass(frozen=True)
class Options:
    """Runs and cases, in pairs."""

    pairs: tyro.conf.Positional[tuple[Path, ...]]
    json: Path | None = None
    """File that the rows are written to."""
    out: Path | None = None
    """Folder for the files and contact sheets of each run."""


def main(options: Options) -> None:
    rows = []
    for run, case in zip(options.pairs[::2], options.pairs[1::2], strict=True):
        rows.append(measure(run, case, options.out and options.out / run.name))
        print(json.dumps(rows[-1], indent=1), flush=True)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n")


def measure(run: Path, case: Path, out: Path | None) -> dict[str, Any]:
    """All figures of a run."""
    asset = Asset.load(run / "fourd.safetensors")
    tracks = case / "gt_mesh.npz"
    tracks = tracks if tracks.exists() else case / "gt_vertices.npz"
    truth = np.load(tracks)["vertices"].astype(np.float64)
    views, middle = load_views(run), len(truth) // 2
    file = case / "mesh_middle.glb"
    aligned = result(given.run(views.images[middle], views.cameras, 0, file=file))
    placed = place_given(file, aligned)
    truth_faces = placed.faces
    config = ExportConfig()
    began = time.perf_counter()
    own = value(make(asset, config))
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    skin = decompose(own.surface(own.rest), own.vertices, config.bones)
    bone_seconds = time.perf_counter() - began
    followed = value(make(asset, config, placed))
    if out is not None:
        write_files(out, own, skin, followed)
    surfaces = [surface_of(asset.splats(position)) for position in asset.positions.tolist()]
    splats = asset.splats(0.0)
    solid = (splats.opacities > 0.1).numpy()
    means = [asset.splats(position).means.numpy()[solid] for position in asset.positions.tolist()]
    goals = [spread(Surface(places, truth_faces)) for places in truth]
    height = float(np.ptp(truth[..., 2]))
    skinned = dataclasses.replace(own, vertices=skin.vertices())
    apart = np.linalg.norm(skinned.vertices - own.vertices, axis=-1) * 256
    return {
        "case": case.name,
        "run": run.name,
        "seconds": round(seconds, 1),
        "triangles": len(own.faces),
        "chamfer_mesh": distances([spread(own.surface(t)) for t in range(len(truth))], goals),
        "chamfer_surface": distances([spread(surface) for surface in surfaces], goals),
        "chamfer_means": distances(means, goals),
        "mesh": looks(own, case),
        "skeleton": {
            "seconds": round(bone_seconds, 1),
            "bones": len(skin.rig.names),
            "apart_px": [round(float(f(apart)), 3) for f in (np.mean, p95, np.max)],
            **looks(skinned, case),
        },
        "flipped_share": round(flipped(own), 5),
        "collapsed_share": round(collapsed(own), 5),
        "turn_deg": round(turning(own, truth), 2),
        "given": {
            "placing_percent": percent(placed.vertices, truth[middle][None], height)[0],
            "vertex_percent": percent(followed.vertices, truth, height),
            "rigid_percent": percent(np.repeat(placed.vertices, len(truth), 0), truth, height),
            "nearest_percent": percent(nearest(placed, surfaces), truth, height),
            **looks(followed, case),
            "rigid": looks(
                dataclasses.replace(followed, vertices=np.repeat(placed.vertices, len(truth), 0)),
                case,
            ),
        },
    }  # fmt: skip


def value(making: Generator[None, None, Any]) -> Any:
    """The value that a generator returns."""
    while True:
        try:
            next(making)
        except StopIteration as end:
            return end.value


def spread(surface: Surface) -> np.ndarray:
    """Points spread on a surface by area."""
    shape = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    return np.asarray(trimesh.sample.sample_surface(shape, POINTS, seed=0)[0])


def distances(found: list[np.ndarray], goals: list[np.ndarray]) -> dict[str, float]:
    """Symmetric chamfer distance, world units: mean over frames and the worst frame."""
    values = [
        (cKDTree(a).query(b)[0].mean() + cKDTree(b).query(a)[0].mean()) / 2
        for a, b in zip(found, goals, strict=True)
    ]
    return {"mean": round(float(np.mean(values)), 5), "worst": round(float(np.max(values)), 5)}


def looks(moving: MovingMesh, case: Path) -> dict[str, float]:
    """Mask IoU and PSNR-FG at the held-out cameras."""
    cameras = read_case_cameras(case / "cameras.json")
    ious, decibels = [], []
    for folder in sorted((case / "heldout").iterdir()):
        for frame in range(0, len(moving.vertices), EVERY):
            truth = np.asarray(Image.open(folder / f"{frame:04d}.png").convert("RGBA"))
            camera = cameras[f"heldout/{folder.name}"].resized(truth.shape[1], truth.shape[0])
            (image,) = render(moving, frame, camera)
            (color, mask), (true_color, true_mask) = on_white(image), on_white(truth)
            ious.append(mask_iou(mask, true_mask))
            decibels.append(psnr_fg(color, true_color, mask, true_mask))
    return {"iou": round(float(np.mean(ious)), 4), "psnr_fg": round(float(np.mean(decibels)), 2)}


def p95(values: np.ndarray) -> float:
    return float(np.percentile(values, 95))


def flipped(moving: MovingMesh) -> float:
    """Share of triangles that turn away from those around them although in rest they do not."""
    faces = moving.faces
    pairs = trimesh.graph.face_adjacency(faces)
    folds = []
    for places in moving.vertices:
        normals = face_normals(places, faces)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        folds.append((normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(1) < -0.5)
    return float((np.stack(folds) & ~folds[moving.rest]).mean())


def collapsed(moving: MovingMesh) -> float:
    """Share of triangles with less than a hundredth of their area in rest."""
    areas = np.linalg.norm(face_normals(moving.vertices, moving.faces), axis=-1)
    return float((areas < 0.01 * areas[moving.rest]).mean())


def turning(moving: MovingMesh, truth: np.ndarray) -> float:
    """Mean angle, degrees, by which normals turn from frame to frame where the truth is still;
    NaN where it never is."""
    angles = []
    for frame in range(len(truth) - 1):
        still = np.linalg.norm(truth[frame + 1] - truth[frame], axis=1) < STILL
        a, b = (face_normals(moving.vertices[frame + k], moving.faces) for k in (0, 1))
        centres = moving.vertices[frame][moving.faces].mean(1)
        _, near = cKDTree(truth[frame]).query(centres)
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosine = (a * b).sum(1) / np.maximum(lengths, 1e-12)
        angles.append(np.degrees(np.arccos(cosine.clip(-1, 1)))[still[near]])
    angles = np.concatenate(angles)
    return float(angles.mean()) if len(angles) else float("nan")


def percent(found: np.ndarray, truth: np.ndarray, height: float) -> list[float]:
    """Mean distance of vertices from their tracks, percent of the height: mean, worst frame."""
    errors = np.linalg.norm(found - truth, axis=-1).mean(1) / height * 100
    return [round(float(errors.mean()), 2), round(float(errors.max()), 2)]


def nearest(placed: MovingMesh, surfaces: list[Surface]) -> np.ndarray:
    """Vertices [T, M, 3] moved to the nearest point of each frame's surface."""
    return np.stack(
        [surface.vertices[surface.tree.query(placed.vertices[0])[1]] for surface in surfaces]
    )


def write_files(out: Path, own: MovingMesh, skin: Any, followed: MovingMesh) -> None:
    """The glb files, and contact sheets of textured renders."""
    from ds4d.cameras import orbit_cameras

    out.mkdir(parents=True, exist_ok=True)
    times = np.linspace(0, 4, len(own.vertices)).tolist()
    write_skinned(out / "object.glb", own, skin, times)
    write_morphing(out / "object_morph.glb", own, times)
    write_morphing(out / "given_morph.glb", followed, times)
    cameras = orbit_cameras([0, 60, 120, 180, 240, 300], [10] * 6, size=192)
    for name, moving in (("own", own), ("given", followed)):
        frames = np.linspace(0, len(moving.vertices) - 1, 6).round().astype(int)
        rows = [np.concatenate(list(over(render(moving, t, cameras))), 1) for t in frames]
        Image.fromarray(np.concatenate(rows)).save(out / f"{name}.jpg", quality=90)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(tyro.cli(Options))
