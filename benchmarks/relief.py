"""Worth of published depth, by simulation: python -m benchmarks.relief CASE ... [--json FILE]

The true depth of the first surface, from a case's mesh_middle.glb and gt_vertices.npz, is spoiled
as networks for single images spoil it: noise of low frequency, a scale and a shift that drift over
the clip, blur at edges. The shape prior is told the slant of it and adds thickness and hidden
colours; the views are scored as by benchmarks.front_end.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import cv2
import numpy as np
import torch
import trimesh
import tyro
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d

from benchmarks.front_end import drawn, read_truth, scores
from ds4d.cameras import Cameras, read_case_cameras
from ds4d.images import load_images
from ds4d.mesh.io import TO_GLTF
from ds4d.mesh.mesh import Mesh
from ds4d.mesh.visibility import visible_faces
from ds4d.multiview.inflate.model import assembled
from ds4d.multiview.shape_prior.inference import Prior, Told

LEVELS = (0.0, 0.03, 0.06)  # noise, in widths of the object
NOISE_SIZE = 24 / 256  # standard deviation of the noise's correlation, widths of the frame
EDGE_BLUR = 2.5  # standard deviation, pixels
SCALE_DRIFT, SHIFT_DRIFT = 0.1, 0.1  # of scales (log) and shifts (widths) over the clip
SHARE = 0.6  # of the relief in the first surface; the rest is the prior's
STEADY = 2.0  # frames, standard deviation of the smoothing of shifts over time


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]]
    """case folders with mesh_middle.glb and gt_vertices.npz"""
    json: Path | None = None
    """file for the rows as JSON"""


def true_depths(case: Path, camera: Cameras, insides: np.ndarray) -> np.ndarray:
    """Depths [T, G, G] of the first surface along the optical axis, world units.

    Pixels inside that the mesh just misses take the depth of the nearest one that it covers.
    """
    parts = list(trimesh.load(case / "mesh_middle.glb", process=False).geometry.values())
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([p.faces + k for p, k in zip(parts, starts, strict=False)])
    tracks = np.load(case / "gt_vertices.npz")["vertices"].astype(np.float32)
    middle = np.concatenate([part.vertices for part in parts]) @ TO_GLTF
    assert np.abs(middle - tracks[len(tracks) // 2]).max() < 1e-2, "vertices in another order"
    viewmat, K = camera.viewmats[0].double().numpy(), camera.Ks[0].double().numpy()
    rows, columns = np.indices(insides.shape[1:]) + 0.5
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(K).T
    depths = np.empty(insides.shape)
    for depth, vertices in zip(depths, tracks, strict=True):
        mesh = Mesh(torch.from_numpy(vertices), torch.from_numpy(faces), torch.empty(0, 3))
        visible = visible_faces(mesh, camera)[0]
        corners = vertices[faces] @ viewmat[:3, :3].T + viewmat[:3, 3]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        height = (corners[:, 0] * normals).sum(-1)[visible]
        facing = (rays * normals[visible]).sum(-1)
        hit = (visible >= 0) & (np.abs(facing) > 1e-9)
        depth[:] = height / np.where(hit, facing, 1)
        depth[:] = depth[
            tuple(distance_transform_edt(~hit, return_distances=False, return_indices=True))
        ]
    return depths


def spoiled(depths: np.ndarray, insides: np.ndarray, level: float, seed: int = 0) -> np.ndarray:
    """Depths [T, G, G] as a network for single images gives them, in its own units."""
    rng, (T, G, _) = np.random.default_rng(seed), depths.shape
    columns = np.flatnonzero(insides.any((0, 1)))
    width = float(columns[-1] - columns[0] + 1) / G
    noise = rng.standard_normal(depths.shape)
    noise = gaussian_filter(noise, (1.0, NOISE_SIZE * G, NOISE_SIZE * G))
    noise *= level * width / noise.std()
    scales, shifts = (gaussian_filter1d(rng.standard_normal(T), 3.0) for _ in range(2))
    scales, shifts = (drift / max(drift.std(), 1e-9) for drift in (scales, shifts))
    weights = insides.astype(np.float32)
    soft = [
        cv2.GaussianBlur(d * w, (0, 0), EDGE_BLUR) / (cv2.GaussianBlur(w, (0, 0), EDGE_BLUR) + 1e-6)
        for d, w in zip(depths.astype(np.float32), weights, strict=True)
    ]
    scales = np.exp(SCALE_DRIFT * scales)[:, None, None]
    return (np.stack(soft) + noise) * scales + SHIFT_DRIFT * shifts[:, None, None]


def slant_of(depths: np.ndarray, insides: np.ndarray) -> float:
    """Angle, radians, of the line that fits the depths [T, G, G] of a clip over its columns."""
    G = insides.shape[-1]
    slopes = []
    for depth, inside in zip(depths, insides, strict=True):
        if inside.any():
            columns = np.nonzero(inside)[1] / G
            slopes.append(np.polyfit(columns, depth[inside], 1)[0])
    return math.atan(float(np.median(slopes)))


def with_relief(prior: Prior, frames: np.ndarray, relief: np.ndarray) -> Told:
    """Surfaces whose first one is a relief [T, G, G] in widths of the frame, up to a shift.

    The prior sees the slant of the relief; the relief is shifted to where the prior has its first
    surface, steadily over time, and is as thick as the prior says.
    """
    insides = frames[..., 3] > 127
    told = prior(frames, slant=slant_of(relief, insides))
    off = told.front - relief
    shifts = [np.median(o[i]) if i.any() else 0.0 for o, i in zip(off, insides, strict=True)]
    shifts = gaussian_filter1d(np.array(shifts), STEADY, mode="nearest")
    front = SHARE * (relief + shifts[:, None, None]) + (1 - SHARE) * told.front
    return dataclasses.replace(
        told, front=front, back=front + np.maximum(told.back - told.front, 0)
    )


def measure(case: Path) -> list[dict]:
    """Scores without and with relief, a row each."""
    truth, frames = read_truth(case), load_images(case / "input")
    camera = read_case_cameras(case / "cameras.json")["input"].resized(*frames.shape[2:0:-1])
    radius = float(camera.centres().norm())
    width = radius * camera.width / float(camera.Ks[0, 0, 0])
    prior, insides = Prior.load(), frames[..., 3] > 127
    depths = (true_depths(case, camera, insides) - radius) / width
    told = {"prior": prior(frames)}
    told["prior, true slant"] = prior(frames, slant=slant_of(depths, insides))
    for level in LEVELS:
        relief = spoiled(depths, insides, level)
        told[f"relief, {100 * level:g} % noise"] = with_relief(prior, frames, relief)
    rows = []
    for name, surfaces in told.items():
        model = assembled(frames, surfaces, camera)
        solids = [model.solid(moment) for moment in truth.moments]
        found = scores(drawn(solids, truth), truth)
        rows.append({"case": case.resolve().name, "depth": name, "slant": model.said} | found)
    return rows


def main(options: Options) -> None:
    rows = [row for case in options.cases for row in measure(case)]
    print("| case | depth | psnr_fg, dB | mask IoU | sides | back |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        sides, back = (f"{row[part][0]} / {row[part][1]}" for part in ("sides", "back"))
        scored = f"{row['psnr_fg']} | {row['mask_iou']} | {sides} | {back}"
        print(f"| {row['case']} | {row['depth']} | {scored} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
