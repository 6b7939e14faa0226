"""A multi-camera capture of a room with a moving ball, rendered from known Gaussians.

The capture has coordinates of its own (y up, other units, far from the origin), and its cameras
differ in distance, height, field of view, image size and principal point, as real ones do.
"""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from torch import Tensor

from ds4d.cameras import Cameras, orbit_cameras
from ds4d.splatting.splats import Splats, render

# azimuth, elevation (degrees), radius, vertical field of view (degrees), width, height (pixels),
# shift of the principal point (pixels); the last camera is held out
RIG = (
    (0, 18, 2.3, 42, 96, 72, (0, 0)),
    (-50, 12, 2.0, 50, 96, 72, (5, -3)),
    (-26, 35, 2.5, 38, 80, 80, (0, 0)),
    (24, 8, 1.9, 54, 72, 96, (-4, 2)),
    (48, 26, 2.4, 40, 96, 72, (0, 0)),
    (-10, 48, 2.2, 46, 96, 64, (0, 4)),
    (68, 14, 2.1, 48, 96, 72, (2, 2)),
    (13, 22, 2.1, 44, 96, 72, (3, 0)),
)
HELD_OUT = len(RIG) - 1
UNIT = 6.0  # capture units per unit of `room`
ORIGIN = torch.tensor([120.0, -35.0, 15.0])
AXES = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])  # x, y, z here -> y up, det +1


def room(position: float) -> Splats:
    """Gaussians of the room at a time in [0, 1], in z-up coordinates of unit size."""
    generator = np.random.default_rng(5)
    steps = np.linspace(-0.6, 0.6, 30)
    a, b = (grid.ravel() for grid in np.meshgrid(steps, steps))
    low = np.full_like(a, -0.35)
    cells = (np.floor(a * 5) * 7 + np.floor(b * 5) * 3).astype(int) % 11
    palette = generator.uniform(0.15, 0.95, (3, 11, 3))
    floor = np.stack([a, b, low], -1), palette[0][cells], (0.03, 0.03, 0.004)
    wall = np.stack([a, low * 0 + 0.6, b * 0.55 - 0.02], -1), palette[1][cells], (0.03, 0.004, 0.02)
    side = np.stack([low * 0 - 0.6, a, b * 0.55 - 0.02], -1), palette[2][cells], (0.004, 0.03, 0.02)
    parts = [floor, wall, side]
    ball = generator.normal(size=(500, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    stripes = np.where((ball[:, 2:] * 3 % 1) < 0.5, [[0.9, 0.15, 0.1]], [[0.98, 0.85, 0.2]])
    centre = (0.7 * position - 0.3, -0.15, -0.15 + 0.25 * np.sin(np.pi * position))
    parts.append((ball * 0.14 + centre, stripes, (0.018,) * 3))
    spots = np.where((ball[:, :1] * ball[:, 1:2]) > 0, [[0.1, 0.3, 0.8]], [[0.85, 0.9, 0.95]])
    parts.append((ball * 0.17 + (-0.25, 0.25, -0.18), spots, (0.02,) * 3))
    far = generator.normal(size=(1500, 3))
    far /= np.linalg.norm(far, axis=1, keepdims=True)
    bands = 0.5 + 0.3 * np.sin(far @ generator.normal(0, 4, (3, 3)))
    parts.append((4.0 * far, bands, (0.3,) * 3))
    means = np.concatenate([place for place, _, _ in parts])
    colors = np.concatenate([color for _, color, _ in parts])
    scales = np.concatenate([np.tile(scale, (len(place), 1)) for place, _, scale in parts])
    quats = torch.zeros(len(means), 4)
    quats[:, 0] = 1
    means, scales, colors = (torch.from_numpy(x).float() for x in (means, scales, colors))
    return Splats(means, quats, scales, torch.full((len(means),), 0.97), colors)


def camera(index: int) -> Cameras:
    """Camera of the rig in unit coordinates, at its own image size."""
    azimuth, elevation, radius, fov, width, height, (dx, dy) = RIG[index]
    turned = orbit_cameras([azimuth], elevation, size=height, radius=radius, fov_deg=fov)
    Ks = turned.Ks.clone()
    Ks[:, 0, 2], Ks[:, 1, 2] = width / 2 + dx, height / 2 + dy
    return Cameras(turned.viewmats, Ks, width, height)


def outside(points: Tensor) -> Tensor:
    """Transform points [N, 3] from unit coordinates to those of the capture."""
    return UNIT * points @ AXES.T + ORIGIN


def picture(index: int, position: float) -> np.ndarray:
    """Render a camera's image [H, W, 3] uint8 over a dim background."""
    rgb, _, _ = render(room(position), camera(index), background=0.0)
    return (rgb[0].clamp(0, 1) * 255).round().byte().numpy()


def entry(index: int, name: str) -> dict:
    """Entry of cameras.json: camera to capture coordinates, OpenGL axes."""
    shot = camera(index)
    inward = shot.viewmats[0].double()
    c2w = torch.eye(4, dtype=torch.float64)
    c2w[:3, :3] = (
        AXES.double() @ inward[:3, :3].T @ torch.diag(torch.tensor([1.0, -1, -1])).double()
    )
    c2w[:3, 3] = outside(shot.centres())[0].double()
    K = shot.Ks[0].tolist()
    return {
        "name": name, "width": shot.width, "height": shot.height, "fx": K[0][0], "fy": K[1][1],
        "cx": K[0][2], "cy": K[1][2], "c2w_opengl": c2w.tolist(),
    }  # fmt: skip


def write_room(folder: Path, frames: int) -> Path:
    """Write views/cam0 ..., heldout/cam7 and cameras.json."""
    names = [f"views/cam{k}" if k != HELD_OUT else f"heldout/cam{k}" for k in range(len(RIG))]
    for index, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for frame in range(frames):
            image = picture(index, frame / (frames - 1))
            iio.imwrite(folder / name / f"{frame:04d}.png", image, compress_level=1)
    cameras = [entry(index, name) for index, name in enumerate(names)]
    facts = {"n_frames": frames, "cameras": cameras}
    (folder / "cameras.json").write_text(json.dumps(facts, indent=1))
    return folder
