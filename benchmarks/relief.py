"""Worth of published depth, by simulation: python -m benchmarks.relief CASE ... [--json FILE]

The true depth and normals of the first surface, from a case's gt_depths.npz, or its
mesh_middle.glb and gt_vertices.npz, are spoiled as networks for single images spoil them: noise of
low frequency, a scale and a shift that drift over the clip, blur at edges. A network that gives
them stands in for the published one in the engine `relief`; its views are scored as by
benchmarks.front_end. With --runs FOLDER, an asset is made from each case instead, by the command
line, and scored.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import resource
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import trimesh
import tyro
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d

from benchmarks.front_end import drawn, read_truth, scores
from ds4d import cli
from ds4d.cameras import Cameras, read_case_cameras
from ds4d.images import load_images
from ds4d.mesh.io import TO_GLTF
from ds4d.mesh.mesh import Mesh
from ds4d.mesh.visibility import hits
from ds4d.multiview.inflate.model import Model, assembled, on_grid, resized
from ds4d.multiview.relief import engine, networks
from ds4d.multiview.relief.fit import slants_of, surfaces
from ds4d.multiview.relief.networks import SIZE, Reading
from ds4d.multiview.shape_prior.inference import Prior
from ds4d.run.events import result

NOISE_SIZE = 24 / 256  # standard deviation of the noise's correlation, widths of the frame
NOISE_TIME = 1.0  # the same over time, frames
EDGE_BLUR = 2.5  # standard deviation, pixels
SCALE_DRIFT, SHIFT_DRIFT = 0.1, 0.1  # of scales (log) and shifts (widths) over the clip
NORMAL_BLUR = 1.5  # standard deviation, pixels
NORMAL_NOISE = math.radians(8) / 0.03  # standard deviation of normals for noise of 1 width
UNIT = 3.7  # of the depths of a network that has none
METRICS = ("psnr_fg", "mask_iou", "motion_psnr")  # of assets
WEIGHTS = "moge-2-vits"  # in whose place the simulated network is


@dataclasses.dataclass(frozen=True)
class Spoiling:
    """Errors of a network."""

    level: float  # of the noise, in widths of the object
    lasting: bool = False  # the same noise in all frames
    bare: bool = False  # no normals, and depths of an unknown unit

    def __str__(self) -> str:
        text = f"{100 * self.level:g} % noise"
        text += ", the same in all frames" if self.lasting else ""
        return text + (", no normals, no unit" if self.bare else "")


SPOILINGS = (
    Spoiling(0.0), Spoiling(0.03), Spoiling(0.06), Spoiling(0.03, lasting=True),
    Spoiling(0.03, bare=True),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]]
    """case folders with gt_depths.npz, or mesh_middle.glb and gt_vertices.npz"""
    json: Path | None = None
    """file for the rows as JSON"""
    runs: Path | None = None
    """folder for assets, which are made instead of views alone"""
    noise: float | None = 0.03
    """noise of the depth that assets are made from, in widths of the object; None = no depth"""


class Spoiled:
    """A network that knows the true depths of a clip, and spoils them."""

    title = "simulated"

    def __init__(
        self,
        frames: np.ndarray,  # [T, G, G, 4] uint8
        depths: np.ndarray,  # [T, G, G] true ones, widths of the frame
        K: np.ndarray,  # [3, 3]
        spoiling: Spoiling,
    ):
        insides = frames[..., 3] > 127
        self.frames = np.stack([resized(frame, SIZE) for frame in frames])
        self.depths = spoiled(depths, insides, spoiling.level, lasting=spoiling.lasting)
        self.normals = None
        self.scaled = not spoiling.bare
        if spoiling.bare:
            self.depths *= UNIT
        else:
            self.normals = spoiled_normals(normals_of(depths, K), insides, spoiling.level)

    def read(self, frame: np.ndarray) -> Reading:
        off = [np.abs(own.astype(int) - frame).mean() for own in self.frames]
        index = int(np.argmin(off))
        depth, normals = (
            None if maps is None else cv2.resize(maps[index].astype(np.float32), (SIZE, SIZE))
            for maps in (self.depths, self.normals)
        )
        return Reading(depth, normals, np.ones((SIZE, SIZE), bool))


def truth_of(case: Path, camera: Cameras, insides: np.ndarray) -> np.ndarray:
    """Depths [T, G, G] of the first surface, widths of the frame, 0 at the camera's target."""
    file = case / "gt_depths.npz"
    if file.exists():
        depths = [_filled(depth, np.isfinite(depth)) for depth in np.load(file)["depths"]]
    else:
        depths = true_depths(case, camera, insides)
    radius = float(camera.centres().norm())
    return (np.stack(depths) - radius) / (radius * camera.width / float(camera.Ks[0, 0, 0]))


def true_depths(case: Path, camera: Cameras, insides: np.ndarray) -> list[np.ndarray]:
    """Depths T x [G, G] of the first surface along the optical axis, world units.

    Pixels inside that the mesh just misses take the depth of the nearest one that it covers.
    """
    parts = list(trimesh.load(case / "mesh_middle.glb", process=False).geometry.values())
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([p.faces + k for p, k in zip(parts, starts, strict=False)])
    tracks = np.load(case / "gt_vertices.npz")["vertices"].astype(np.float32)
    middle = np.concatenate([part.vertices for part in parts]) @ TO_GLTF
    assert np.abs(middle - tracks[len(tracks) // 2]).max() < 1e-2, "vertices in another order"
    depths = []
    for vertices in tracks[: len(insides)]:
        mesh = Mesh(torch.from_numpy(vertices), torch.from_numpy(faces), torch.empty(0, 3))
        depth = hits(mesh, camera).depth[0]
        depths.append(_filled(depth, np.isfinite(depth)))
    return depths


def _filled(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values [G, G] where each unknown one is that of the nearest known pixel."""
    return values[
        tuple(distance_transform_edt(~known, return_distances=False, return_indices=True))
    ]


def spoiled(
    depths: np.ndarray, insides: np.ndarray, level: float, seed: int = 0, lasting: bool = False
) -> np.ndarray:
    """Depths [T, G, G] as a network for single images gives them, in its own units."""
    rng, (T, G, _) = np.random.default_rng(seed), depths.shape
    columns = np.flatnonzero(insides.any((0, 1)))
    width = float(columns[-1] - columns[0] + 1) / G
    noise = _noise(rng, depths.shape, lasting) * level * width
    scales, shifts = (gaussian_filter1d(rng.standard_normal(T), 3.0) for _ in range(2))
    scales, shifts = (drift / max(drift.std(), 1e-9) for drift in (scales, shifts))
    soft = _blurred(depths[..., None], insides, EDGE_BLUR)[..., 0]
    scales = np.exp(SCALE_DRIFT * scales)[:, None, None]
    return (soft + noise) * scales + SHIFT_DRIFT * shifts[:, None, None]


def normals_of(depths: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Normals [T, G, G, 3] of true depths, widths; at an edge, those of the smoother side."""
    G = depths.shape[-1]
    across, down = (_gentler(np.diff(depths, axis=axis) * G, axis) for axis in (2, 1))
    rows, columns = np.indices((G, G)) + 0.5
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(K).T
    towards = -1 - across * rays[..., 0] - down * rays[..., 1]
    normals = np.stack([across, down, towards], -1)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def _gentler(steps: np.ndarray, axis: int) -> np.ndarray:
    """The smaller one of the steps before and after each pixel."""
    ends = [[(0, 0)] * 3, [(0, 0)] * 3]
    ends[0][axis], ends[1][axis] = (1, 0), (0, 1)
    before, after = (np.pad(steps, end, mode="edge") for end in ends)
    return np.where(np.abs(before) < np.abs(after), before, after)


def spoiled_normals(
    normals: np.ndarray, insides: np.ndarray, level: float, seed: int = 1
) -> np.ndarray:
    """Normals [T, G, G, 3], blurred and with noise of low frequency."""
    rng = np.random.default_rng(seed)
    noise = np.stack([_noise(rng, normals.shape[:3]) for _ in range(3)], -1)
    soft = _blurred(normals, insides, NORMAL_BLUR) + NORMAL_NOISE * level * noise
    return soft / np.maximum(np.linalg.norm(soft, axis=-1, keepdims=True), 1e-6)


def _noise(rng: np.random.Generator, shape: tuple, lasting: bool = False) -> np.ndarray:
    """Noise [T, G, G] of low frequency and standard deviation 1."""
    T, G, _ = shape
    noise = rng.standard_normal((1, G, G) if lasting else shape)
    noise = gaussian_filter(noise, (NOISE_TIME, NOISE_SIZE * G, NOISE_SIZE * G))
    return np.broadcast_to(noise / noise.std(), shape)


def _blurred(maps: np.ndarray, insides: np.ndarray, deviation: float) -> np.ndarray:
    """Maps [T, G, G, C] blurred inside the silhouettes alone."""
    blurred = []
    for own, inside in zip(maps.astype(np.float32), insides.astype(np.float32), strict=True):
        parts = [cv2.GaussianBlur(part * inside, (0, 0), deviation) for part in np.rollaxis(own, 2)]
        total = cv2.GaussianBlur(inside, (0, 0), deviation) + 1e-6
        blurred.append(np.stack(parts, -1) / total[..., None])
    return np.stack(blurred)


def relief_model(frames: np.ndarray, camera: Cameras, network: networks.Network) -> Model:
    """The engine's model of a clip, read by a network."""
    small, camera = on_grid(frames, camera)
    relief = result(engine.read(frames, small, network))
    told = surfaces(small, relief, camera.Ks[0].double().numpy())
    return assembled(small, told, camera)


def measure(case: Path) -> list[dict]:
    """Scores without and with relief, a row each."""
    truth, frames = read_truth(case), load_images(case / "input")
    camera = read_case_cameras(case / "cameras.json")["input"].resized(*frames.shape[2:0:-1])
    prior, insides = Prior.load(), frames[..., 3] > 127
    depths, K = truth_of(case, camera, insides), camera.Ks[0].double().numpy()
    models = {
        "prior": lambda: assembled(frames, prior(frames), camera),
        "prior, true slant": lambda: assembled(
            frames, prior(frames, slants_of(depths, insides)), camera
        ),
    }
    for spoiling in SPOILINGS:
        network = Spoiled(frames, depths, K, spoiling)
        models[f"relief, {spoiling}"] = partial(relief_model, frames, camera, network)
    rows = []
    for name, made in models.items():
        started = time.process_time()
        model = made()
        seconds = round((time.process_time() - started) / len(frames), 2)
        solids = [model.solid(moment) for moment in truth.moments]
        row = {"case": case.resolve().name, "depth": name, "slant": model.said}
        rows.append(row | {"cpu_s_a_frame": seconds} | scores(drawn(solids, truth), truth))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def make_asset(case: Path, folder: Path, noise: float | None) -> dict:
    """Scores of the asset that the command line makes of a case, with preview's settings.

    The engine `relief` finds a file in the weights' place, and the simulated network behind it.
    """
    arguments = ["generate", str(case), "--out", str(folder), "--views", "none", "--device", "cpu"]
    if noise is None:
        arguments += ["--multiview.engine", "inflate"]
    else:
        frames = load_images(case / "input")
        camera = read_case_cameras(case / "cameras.json")["input"].resized(*frames.shape[2:0:-1])
        depths = truth_of(case, camera, frames[..., 3] > 127)
        network = Spoiled(frames, depths, camera.Ks[0].double().numpy(), Spoiling(noise))
        networks.NETWORKS[WEIGHTS] = lambda weights, machine: network
        file = folder.with_name("weights") / "Ruicheng/moge-2-vits-normal-onnx/model.onnx"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"simulated")
        arguments += ["--multiview.engine", "relief", "--multiview.depth-network", WEIGHTS]
        arguments += ["--weights", str(folder.with_name("weights"))]
    if cli.main(arguments):
        raise SystemExit(f"no asset was made of {case}")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        cli.main(["evaluate", str(folder), str(case), "--device", "cpu"])
    held_out = json.loads(printed.getvalue())["heldout"]
    name = "prior" if noise is None else f"relief, {Spoiling(noise)}"
    return {"case": case.resolve().name, "asset": name} | {
        metric: held_out[metric] for metric in METRICS
    }


def main(options: Options) -> None:
    if options.runs:
        rows = [make_asset(case, options.runs / case.name, options.noise) for case in options.cases]
        print(json.dumps(rows, indent=1))
    else:
        rows = [row for case in options.cases for row in measure(case)]
        print("\n| case | depth | psnr_fg, dB | mask IoU | sides | back |")
        print("|---|---|---|---|---|---|")
        for row in rows:
            sides, back = (f"{row[part][0]} / {row[part][1]}" for part in ("sides", "back"))
            scored = f"{row['psnr_fg']} | {row['mask_iou']} | {sides} | {back}"
            print(f"| {row['case']} | {row['depth']} | {scored} |")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"peak memory {peak:.1f} GB")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
