"""Views of prepared folders: the right frames, the right cameras, and no silent gaps."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ds4d import clip, multiview
from ds4d.cameras import RADIUS, orbit_cameras, rig_cameras
from ds4d.config import ClipConfig, MachineConfig, MultiviewConfig
from ds4d.errors import UserError
from ds4d.multiview import given
from ds4d.multiview.consistency import disagreement
from ds4d.multiview.views import Views
from ds4d.run.engines import Engine
from tests.cases import FROG
from tests.stages import finished

FRAMES, SIZE = 5, 16


def picture(level: int) -> Image.Image:
    """A disc whose red channel identifies the image, 32 x 32 RGBA."""
    y, x = np.mgrid[:32, :32]
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[np.hypot(x - 15.5, y - 15.5) < 12] = (level, 100, 50, 255)
    return Image.fromarray(pixels)


def write(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(level).save(path)


def make_case(root: Path, name: str = "multiview") -> Path:
    for frame in range(FRAMES):
        write(root / "input" / f"{frame:04d}.png", 200)
        for view in range(6):
            write(root / name / f"{frame:04d}" / f"{view}.png", 10 * frame + view)
    return root


def make_stag4d(root: Path) -> Path:
    for frame in range(FRAMES):
        write(root / "ref" / f"{frame}_rgba.png", 200)
        for view in range(6):
            write(root / "zero123" / f"{frame}_rgba" / f"{view}.png", 10 * frame + view)
    return root


def make_4dgen(root: Path) -> Path:
    for frame in range(FRAMES):
        write(root / "panda_pose0" / f"{frame}.png", 200)
        for view in range(16):
            write(root / "panda_sync" / f"{frame}_0_{view}_rgba.png", 16 * frame + view)
    return root


def run(path: Path, views: str = "multiview", frames: int = FRAMES, size: int = SIZE) -> Views:
    config = ClipConfig(frames=frames, size=size)
    read = finished(clip.read(path, config))[1]
    fronts = clip.square(read, read.frames[..., 3], config)[0]
    engine = chosen(MultiviewConfig(views=views), path, read)
    assert engine.name == "given"
    return finished(engine.run(fronts, size))[1]


def chosen(config: MultiviewConfig, path: Path, read: clip.Clip) -> Engine:
    machine = MachineConfig(device="cpu")
    return multiview.choose(config, machine, path, read, seed=0)


def reds(views: Views) -> np.ndarray:
    """Identifying red channel of each view, [T, V]."""
    return views.images[:, :, SIZE // 2, SIZE // 2, 0]


def camera_json(name: str, azimuth: float, elevation: float, fov: float, radius: float) -> dict:
    """A literal transcription of the convention: right, up, backward, position as columns."""
    a, e = math.radians(azimuth), math.radians(elevation)
    position = np.array([math.cos(e) * math.sin(a), -math.cos(e) * math.cos(a), math.sin(e)])
    right = np.array([math.cos(a), math.sin(a), 0])
    c2w = np.eye(4)
    c2w[:3] = np.stack([right, np.cross(position, right), position, radius * position], 1)
    return {"name": name, "fov_deg": fov, "width": 256, "height": 256, "c2w_opengl": c2w.tolist()}


def test_a_case_has_the_views_of_the_sampled_frames(tmp_path):
    views = run(make_case(tmp_path / "case"), frames=3)  # frames 0, 2, 4
    assert views.images.shape == (3, 7, SIZE, SIZE, 4)
    expected = [[200, *(10 * frame + view for view in range(6))] for frame in (0, 2, 4)]
    np.testing.assert_array_equal(reds(views), expected)
    np.testing.assert_allclose(views.cameras.viewmats, rig_cameras(SIZE, "v1.2").viewmats)


def test_the_cameras_of_a_case_come_from_its_json_at_the_asked_size(tmp_path):
    case = make_case(tmp_path / "case", "multiview_noisy")
    poses = [(0, 0), *((40 * k, 5 * k) for k in range(1, 7))]
    names = ["input", *(f"multiview/{k}" for k in range(6))]
    listed = [camera_json(n, a, e, 49.1, 1.5) for n, (a, e) in zip(names, poses, strict=True)]
    (case / "cameras.json").write_text(json.dumps({"cameras": listed[::-1]}))  # in any order
    expected = orbit_cameras(*zip(*poses, strict=True), size=SIZE, radius=1.5, fov_deg=49.1)
    cameras = run(case, "multiview_noisy").cameras
    assert (cameras.width, cameras.height) == (SIZE, SIZE)
    torch.testing.assert_close(cameras.viewmats, expected.viewmats, atol=1e-6, rtol=0)
    torch.testing.assert_close(cameras.Ks, expected.Ks)
    front = given.front_camera(case, SIZE)  # for every engine
    torch.testing.assert_close(front.Ks, expected.Ks[:1])


def test_stag4d_folders(tmp_path):
    views = run(make_stag4d(tmp_path / "stag"))
    assert reds(views)[3].tolist() == [200, 30, 31, 32, 33, 34, 35]
    up = views.cameras.centres()[:, 2] / views.cameras.centres().norm(dim=-1)
    expected = torch.tensor([0, 30, -20, 30, -20, 30, -20]).deg2rad().sin()
    torch.testing.assert_close(up, expected, atol=1e-6, rtol=0)
    half = math.tan(math.radians(49.1 / 2))
    assert views.cameras.Ks[0, 0, 0] == pytest.approx(SIZE / 2 / half)
    assert views.cameras.centres()[0].norm() == pytest.approx(0.5 / half)


def test_4dgen_folders_keep_their_sixteen_views(tmp_path):
    root = make_4dgen(tmp_path / "gen")
    for path in (root, root / "panda_pose0"):
        views = run(path)
        assert reds(views)[2].tolist() == [200, *range(32, 48)]
    centres = views.cameras.centres()
    assert centres[5, 0] > 1 and abs(centres[5, 1]) < 1e-6  # view 4: azimuth 90, to the right
    assert torch.all(centres[1:, 2] > 0.6)  # all of them from above


def test_views_none_leaves_only_the_front_camera(tmp_path):
    case = make_case(tmp_path / "case")
    assert given.find(case, "none") is None
    assert given.find(tmp_path / "clip.mp4", "multiview") is None
    front = given.front_camera(tmp_path / "clip.mp4", SIZE)
    assert front.centres()[0].tolist() == pytest.approx([0, -RADIUS, 0], abs=1e-6)


def test_missing_views_are_named(tmp_path):
    case = make_case(tmp_path / "case")
    with pytest.raises(UserError, match="no folder other"):
        given.find(case, "other")
    (case / "multiview" / "0003" / "4.png").unlink()
    with pytest.raises(UserError, match="0003/4.png"):
        run(case)
    assert run(case, frames=2).images.shape[0] == 2  # frames 0 and 4 are whole


def test_opaque_views_are_refused(tmp_path):
    case = make_case(tmp_path / "case")
    picture(9).convert("RGB").save(case / "multiview" / "0000" / "0.png")
    with pytest.raises(UserError, match="transparent background"):
        run(case)


def test_given_by_name_needs_views(tmp_path):
    for frame in range(3):
        write(tmp_path / "shots" / f"{frame}.png", 10 * frame)
    read = finished(clip.read(tmp_path / "shots", ClipConfig()))[1]
    with pytest.raises(UserError, match="contains no views"):
        chosen(MultiviewConfig(engine="given"), tmp_path / "shots", read)


def test_the_given_cameras_see_the_object_of_the_views():
    """Silhouettes of one object agree; with the views in another order they do not."""
    views = run(FROG, frames=2, size=64)
    assert disagreement(views) < 0.01
    swapped = np.roll(views.images[:, 1:], 1, axis=1)
    wrong = replace(views, images=np.concatenate([views.images[:, :1], swapped], axis=1))
    assert disagreement(wrong) > 0.05
