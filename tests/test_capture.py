"""A capture from images to 4D, compared with a static and a random start from a held-out camera."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ds4d import cli, pipeline
from ds4d.config import ClipConfig, Config, FeaturesConfig, FourdConfig, MachineConfig, VideoConfig
from ds4d.fourd.asset import Asset
from ds4d.render.turntable import VIDEOS, render_views
from ds4d.run.workspace import Workspace
from tests.fakes.capture import HELD_OUT, camera, outside, picture, write_room

FRAMES, SIZE = 4, 64
TINY = FourdConfig(
    points=2000, max_gaussians=2000, static_iterations=150, dynamic_iterations=900,
    image_size=SIZE, plane_size=8, plane_times=FRAMES, plane_width=16,
    feature_width=16, hidden_width=16,
)  # fmt: skip
CONFIG = Config(
    clip=ClipConfig(frames=FRAMES, size=SIZE),
    features=FeaturesConfig(engine="descriptors", grid=8),
    fourd=TINY,
    videos=VideoConfig(size=64, seconds=0.5),
    machine=MachineConfig(device="cpu"),
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_room(tmp_path_factory.mktemp("scenes") / "room", FRAMES)


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("runs") / "room")
    for _ in pipeline.generate(folder, workspace, CONFIG):
        pass
    return workspace


def seen(asset: Asset, positions: list[float]) -> np.ndarray:
    """Renders of the held-out camera at several times, [T, H, W, 3] over white."""
    shot = camera(HELD_OUT)
    world = replace(shot, viewmats=outward(shot))
    placed = asset.capture_to_world.cameras(world)
    pictures = [render_views(asset, placed, [position])[0] for position in positions]
    return np.stack([p[..., :3] * (p[..., 3:] / 255) + 255 - p[..., 3:] for p in pictures])


def outward(shot) -> torch.Tensor:
    """Viewmat in capture coordinates of a camera in unit coordinates."""
    origin, axes = outside(torch.zeros(1, 3)), outside(torch.eye(3))
    to_world = torch.eye(4, dtype=torch.float64)
    to_world[:3, :3] = (axes - origin).double().T
    to_world[:3, 3] = origin[0].double()
    unit = (axes[0] - origin[0]).norm().double()
    viewmat = shot.viewmats[0].double() @ torch.linalg.inv(to_world)
    viewmat[:3] *= unit  # depths grow with the world's unit
    return viewmat.float()[None]


def psnr(pictures: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> float:
    error = (pictures.astype(float) - truth) ** 2
    return float(-10 * np.log10((error if where is None else error[:, where]).mean() / 255**2))


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.stack([picture(HELD_OUT, k / (FRAMES - 1)) for k in range(FRAMES)])


def test_a_held_out_camera_sees_the_scene_move(made, truth):
    asset = Asset.load(made / "fourd.safetensors")
    moving = seen(asset, asset.positions.tolist())
    still = seen(asset, [float(asset.positions[FRAMES // 2])] * FRAMES)
    where = np.ptp(truth.astype(int), axis=0).max(-1) > 40  # pixels over which something moves
    assert psnr(moving, truth) > 18
    assert psnr(moving, truth, where) > psnr(still, truth, where) + 2
    assert psnr(moving, truth) > psnr(moving[:, :, ::-1], truth) + 4


def test_points_on_which_cameras_agree_are_a_better_start_than_random_ones(made, folder, truth):
    blind = replace(CONFIG, fourd=replace(TINY, points_from="random"))
    other = Workspace(made.root.parent / "blind")
    for _ in pipeline.generate(folder, other, blind, until="fourd"):
        pass
    scores = []
    for workspace in (made, other):
        asset = Asset.load(workspace / "fourd.safetensors")
        scores.append(psnr(seen(asset, asset.positions.tolist()), truth))
    assert scores[0] > scores[1] + 1  # so short a training differs by 1 dB from seed to seed


def test_videos_and_exports_are_those_of_the_scene(made, folder):
    for name in VIDEOS:
        video = iio.imread(made / f"videos/{name}.mp4")
        assert video.shape[1:] == (48, 64, 3)  # the front camera's pictures are 4 : 3
    front = iio.imread(made / "videos/front.mp4")[0].astype(float)
    true = iio.imread(folder / "views/cam0/0000.png").astype(float)
    small = true[: 72 // 3 * 3].reshape(24, 3, 32, 3, 3).mean((1, 3))
    assert np.abs(front.reshape(24, 2, 32, 2, 3).mean((1, 3)) - small).mean() < 25
    assert (made / "exports/ds4d.zip").exists() and (made / "exports/ply").is_dir()
    assert not (made / "mesh.glb").exists() and not (made / "exports/object.glb").exists()
    assert made.record["stages"]["multiview"]["engine"] == "given"


def test_evaluation_knows_where_the_scene_was_put(made, folder, truth, capsys):
    assert cli.main(["evaluate", str(made.root), str(folder)]) == 0
    scores = json.loads(capsys.readouterr().out)
    asset = Asset.load(made / "fourd.safetensors")
    mine = np.mean([
        psnr(a, b) for a, b in zip(seen(asset, asset.positions.tolist()), truth, strict=True)
    ])  # fmt: skip
    assert scores["heldout"]["psnr"] == pytest.approx(mine, abs=0.1)


def test_a_second_run_does_nothing_again(made, folder):
    events = list(pipeline.generate(folder, Workspace(made.root), CONFIG))
    assert all(event.skipped for event in events)
