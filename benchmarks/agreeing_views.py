"""Worth of views that agree, by simulation on truth.

    python -m benchmarks.agreeing_views CASE FOLDER [--sizes 0 0.01 0.02 0.05] [--pixels 128]
    python -m benchmarks.quality FOLDER/CASE --configs none --views multiview_agree_0.02,...

The true surface of a case becomes Gaussians as L4GM's are, one for each of 128 x 128 pixels of four
level views, with the colours of the case's own views, and inset, so that they are as thick as the
object. A smooth displacement along the rays of the front view, the same in all frames, makes the
shape wrong without changing its front. Renders from the six cameras are written as one folder of
views for each size of the displacement, with the middle frame's Gaussians.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from ds4d.cameras import Cameras, concatenate, project, read_case_cameras
from ds4d.clip import resized
from ds4d.images import load_images, load_pngs, save_pngs
from ds4d.mesh.mesh import Mesh
from ds4d.mesh.visibility import hits
from ds4d.moving_mesh.given import read_given
from ds4d.multiview.l4gm.frames import HALF_WIDTH, l4gm_cameras
from ds4d.multiview.l4gm.render import render_rgba
from ds4d.multiview.views import SPLATS_FILE
from ds4d.splatting.splats import Splats, save_splats

SPREAD = 0.5  # of a Gaussian, in distances between neighbours
OPACITY = 0.95
INSET = 2.2  # deviations below the surface at which silhouettes are as large as the true ones
TOLERANCE = 0.01  # world units that a visible point may lie behind the surface
WAVES, LONGEST, SHORTEST = 24, 1.0, 0.35  # of the displacement; wavelengths in world units
SIZE = 256  # of the views, pixels


@dataclasses.dataclass(frozen=True)
class Options:
    case: tyro.conf.Positional[Path]
    """case folder with mesh_middle.glb and gt_vertices.npz"""
    folder: tyro.conf.Positional[Path]
    """where the case with its new views goes; its other files are links"""
    sizes: tuple[float, ...] = (0.0, 0.01, 0.02, 0.05)
    """root mean squares of the displacement, world units (the object is about one)"""
    pixels: int = 128
    """along a side of a level view, a Gaussian each; L4GM has 128, more are less soft"""


@dataclasses.dataclass(frozen=True)
class Truth:
    """The surface and the views of a case."""

    tracks: np.ndarray  # [T, M, 3] vertices
    faces: Tensor  # [F, 3]
    images: np.ndarray  # [T, V, SIZE, SIZE, 4] uint8, the front view first
    cameras: Cameras  # V

    def mesh(self, frame: int) -> Mesh:
        vertices = torch.from_numpy(self.tracks[frame])
        return Mesh(vertices, self.faces, torch.zeros(len(vertices), 3))


def read_truth(case: Path) -> Truth:
    """The truth of a case folder."""
    tracks = np.load(case / "gt_vertices.npz")["vertices"].astype(np.float32)
    given = read_given(case / "mesh_middle.glb")
    assert np.abs(given.vertices[0] - tracks[len(tracks) // 2]).max() < 1e-2, "another order"
    by_name = read_case_cameras(case / "cameras.json")
    names = ["input", *(f"multiview/{k}" for k in range(6))]
    cameras = concatenate([by_name[name].resized(SIZE, SIZE) for name in names])
    fronts = load_images(case / "input")
    views = [[fronts[t], *load_pngs(case / f"multiview/{t:04d}/{k}.png" for k in range(6))]
             for t in range(len(tracks))]  # fmt: skip
    images = np.stack([[resized(view, SIZE) for view in frame] for frame in views])
    return Truth(tracks, torch.from_numpy(given.faces), images, cameras)


def surface_splats(truth: Truth, frame: int, pixels: int) -> Splats:
    """A Gaussian on the true surface for each pixel of the four level views."""
    mesh, level = truth.mesh(frame), l4gm_cameras((0, 90, 180, 270), pixels)
    seen = hits(mesh, level)
    weights = torch.from_numpy(seen.weights[seen.faces >= 0])
    faces = torch.from_numpy(seen.faces[seen.faces >= 0]).long()
    points = (weights[..., None] * mesh.corners()[faces]).sum(1)
    normals = normalize(mesh.face_normals()[faces], dim=-1)
    colors = _seen_colors(truth, frame, points, normals)
    quats = torch.zeros(len(points), 4)
    quats[:, 0] = 1
    scale = SPREAD * 2 * HALF_WIDTH / pixels
    scales, opacities = torch.full((len(points), 3), scale), torch.full((len(points),), OPACITY)
    return Splats(points - INSET * scale * normals, quats, scales, opacities, colors)


def _seen_colors(truth: Truth, frame: int, points: Tensor, normals: Tensor) -> Tensor:
    """Colours [N, 3] of surface points from the view that sees them most directly."""
    cameras, mesh = truth.cameras, truth.mesh(frame)
    depths = torch.from_numpy(hits(mesh, cameras).depth).float()
    pixels, behind = project(points, cameras)  # [V, N, 2], [V, N]
    grid = (pixels / SIZE * 2 - 1)[:, None]
    nearest = grid_sample(
        depths[:, None].nan_to_num(posinf=9.0), grid, "nearest", align_corners=False
    )[:, 0, 0]
    to_camera = normalize(cameras.centres()[:, None] - points, dim=-1)
    facing = (to_camera * normals).sum(-1)
    best = torch.where(behind < nearest + TOLERANCE, facing, facing - 2).argmax(0)  # [N]
    rgb = torch.from_numpy(truth.images[frame, ..., :3]).movedim(-1, 1).float() / 255
    sampled = grid_sample(rgb, grid, align_corners=False)[:, :, 0]  # [V, 3, N]
    return sampled[best, :, torch.arange(len(points))]


def displacement(seed: int = 0) -> Callable[[Tensor], Tensor]:
    """A smooth random function of points [N, 3], about as large as 1 in the mean square."""
    generator = torch.Generator().manual_seed(seed)
    lengths = SHORTEST + (LONGEST - SHORTEST) * torch.rand(WAVES, 1, generator=generator)
    waves = normalize(torch.randn(WAVES, 3, generator=generator), dim=-1) * 2 * torch.pi / lengths
    phases = 2 * torch.pi * torch.rand(WAVES, generator=generator)
    return lambda points: (points @ waves.T + phases).sin().sum(-1) * (2 / WAVES) ** 0.5


def bent(splats: Splats, size: float, front: Cameras) -> Splats:
    """The Gaussians moved along the rays of the front camera, by `size` in the mean square."""
    rays = normalize(splats.means - front.centres(), dim=-1)
    return dataclasses.replace(
        splats, means=splats.means + size * displacement()(splats.means)[:, None] * rays
    )


def main(options: Options) -> None:
    truth = read_truth(options.case)
    out = options.folder / options.case.resolve().name
    out.mkdir(parents=True, exist_ok=True)
    for path in options.case.resolve().iterdir():
        if not (out / path.name).exists():
            os.symlink(path, out / path.name)
    for frame in range(len(truth.tracks)):
        splats = surface_splats(truth, frame, options.pixels)
        for size in options.sizes:
            views = render_rgba(bent(splats, size, truth.cameras[0]), truth.cameras[range(1, 7)])
            folder = out / f"multiview_agree_{size:g}" / f"{frame:04d}"
            folder.mkdir(parents=True, exist_ok=True)
            save_pngs([folder / f"{k}.png" for k in range(6)], views)
            if frame == len(truth.tracks) // 2:
                save_splats(folder.parent / SPLATS_FILE, bent(splats, size, truth.cameras[0]))
    print(",".join(f"multiview_agree_{size:g}" for size in options.sizes))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
