"""A small case folder with truth, made by drawing two moving blobs from every camera."""

import json
import os
from pathlib import Path

import imageio.v3 as iio
import pytest
import torch

if not torch.cuda.is_available():  # read when triton is imported: its kernels run on the CPU then
    os.environ.setdefault("TRITON_INTERPRET", "1")

from ds4d.cameras import (
    FOV_DEG,
    RADIUS,
    ZERO123PLUS_AZIMUTHS,
    ZERO123PLUS_ELEVATIONS,
    Cameras,
    orbit_cameras,
)
from ds4d.splatting.splats import Splats, render
from tests import browser

FRAMES, SIZE = 6, 64
HELDOUT = {"az-075": -75.0, "az+195": 195.0}
# What makes a run take seconds: a small clip needs few of everything.
TINY = [
    "--clip.size", "64", "--features.grid", "6", "--mesh.resolution", "32",
    "--fourd.points", "400", "--fourd.max-gaussians", "500", "--fourd.image-size", "64",
    "--fourd.static-iterations", "60", "--fourd.dynamic-iterations", "240",
    "--fourd.plane-size", "8", "--fourd.plane-width", "16",
    "--fourd.checkpoint-every", "50", "--videos.size", "64", "--videos.seconds", "0.5",
    "--export.triangles", "2000", "--export.texture", "64", "--export.bones", "2",
]  # fmt: skip


def blobs(position: float) -> Splats:
    """A green body that stands and a red one on its right that rises, at a place in the clip."""
    means = torch.tensor([[-0.1, 0.0, 0.0], [0.22, -0.05, 0.3 * position - 0.15]])
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(2, 1)
    scales = torch.tensor([[0.09, 0.07, 0.11], [0.05, 0.05, 0.05]])
    colors = torch.tensor([[0.2, 0.7, 0.2], [0.9, 0.2, 0.1]])
    return Splats(means, quats, scales, torch.full((2,), 0.99), colors)


def drawn(position: float, camera: Cameras):
    """One RGBA picture of the truth, [SIZE, SIZE, 4] uint8 with straight alpha."""
    rgb, alpha, _ = render(blobs(position), camera, background=0.0)
    image = torch.cat([rgb / alpha.clamp(min=1e-3), alpha], -1)[0].clamp(0, 1)
    return (image * 255).round().byte().numpy()


def _entry(name: str, frames, azimuth: float, elevation: float) -> dict:
    camera = orbit_cameras([azimuth], elevation, size=SIZE)
    c2w = torch.linalg.inv(camera.viewmats[0].double()) @ torch.diag(
        torch.tensor([1.0, -1, -1, 1], dtype=torch.float64)
    )
    return {
        "name": name, "frames": frames, "azimuth_deg": azimuth, "elevation_deg": elevation,
        "radius": RADIUS, "fov_deg": FOV_DEG, "width": SIZE, "height": SIZE,
        "c2w_opengl": c2w.tolist(),
    }  # fmt: skip


@pytest.fixture(scope="session")
def case(tmp_path_factory) -> Path:
    """input/, multiview/, heldout/, orbit/ and cameras.json of the two blobs."""
    folder = tmp_path_factory.mktemp("cases") / "blobs"
    elevations = ZERO123PLUS_ELEVATIONS["v1.2"]
    entries = [_entry("input", "all", 0.0, 0.0)]
    entries += [
        _entry(f"multiview/{k}", "all", a, e)
        for k, (a, e) in enumerate(zip(ZERO123PLUS_AZIMUTHS, elevations, strict=True))
    ]
    entries += [_entry(f"heldout/{name}", "all", a, 0.0) for name, a in HELDOUT.items()]
    entries += [_entry(f"orbit/{t:04d}", [t], t * 60.0, 0.0) for t in range(FRAMES)]
    for entry in entries:
        camera = orbit_cameras([entry["azimuth_deg"]], entry["elevation_deg"], size=SIZE)
        frames = range(FRAMES) if entry["frames"] == "all" else entry["frames"]
        for t in frames:
            path = folder / _place(entry["name"], t)
            path.parent.mkdir(parents=True, exist_ok=True)
            iio.imwrite(path, drawn(t / (FRAMES - 1), camera))
    facts = {"case": "blobs", "n_frames": FRAMES, "cameras": entries}
    (folder / "cameras.json").write_text(json.dumps(facts))
    return folder


def _place(name: str, frame: int) -> str:
    kind, _, rest = name.partition("/")
    if kind == "multiview":
        return f"multiview/{frame:04d}/{rest}.png"
    return f"{name}.png" if kind == "orbit" else f"{name}/{frame:04d}.png"


@pytest.fixture(scope="session")
def chromium():
    with browser.opened() as opened:
        yield opened


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    return TINY
