"""Scenes of real cameras: found, read with their own intrinsics, and placed without a mirror."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ds4d import clip
from ds4d.cameras import Cameras, Similarity, orbit_cameras, project, read_case_cameras
from ds4d.clip import datasets
from ds4d.config import PRESETS, ClipConfig, MultiviewConfig
from ds4d.errors import UserError
from ds4d.mesh.io import save_points_ply
from ds4d.multiview import capture, given, plane_sweep
from ds4d.splatting.splats import render
from tests.fakes.capture import HELD_OUT, RIG, UNIT, camera, outside, picture, room, write_room
from tests.stages import finished

FRAMES, SIZE, CONFIG = 3, 64, MultiviewConfig()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_room(tmp_path_factory.mktemp("scenes") / "room", FRAMES)


@pytest.fixture(scope="module")
def views(folder):
    return read(folder)


def read(folder: Path):
    found = capture.find(folder, CONFIG)
    clipped = finished(clip.read(folder, ClipConfig(frames=FRAMES)))[1]
    return finished(capture.run(found, clipped, capture.whole(clipped.frames, SIZE), SIZE))[1]


def changed(folder: Path, tmp_path: Path, **values) -> Path:
    """A scene of the same pictures, one camera of which says something else."""
    facts = json.loads((folder / "cameras.json").read_text())
    facts["cameras"][2] |= values
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "views").symlink_to(folder / "views")
    (tmp_path / "room" / "cameras.json").write_text(json.dumps(facts))
    return tmp_path / "room"


def test_all_cameras_but_the_held_out_are_read(folder, views):
    assert len(capture.find(folder, CONFIG)) == len(RIG) - 1
    assert views.images.shape == (FRAMES, len(RIG) - 1, SIZE, SIZE, 4)
    assert (views.images[..., 3] == 255).all()
    truth = picture(3, 1.0)  # 72 x 96 pixels: each axis has a factor of its own
    assert abs(views.images[2, 3, ..., :3].mean() - truth.mean()) < 1


def test_places_are_seen_where_the_own_camera_saw_them(views):
    """Through world, units, picture size and principal point: to a thousandth of the picture."""
    places = room(0.5).means[::20]
    placed = views.scene.points(outside(places))
    ours, depth = project(placed, views.cameras)
    for index in range(len(RIG) - 1):
        shot = camera(index)
        true, true_depth = project(places, shot)
        share = true[0] / torch.tensor([shot.width, shot.height])
        front = true_depth[0] > 0.1
        assert (ours[index] / SIZE - share)[front].abs().max() < 1e-3
        ratio = depth[index] / true_depth[0]
        assert torch.allclose(ratio[front], ratio[front][:1].expand(int(front.sum())), rtol=1e-3)


def test_the_scene_stands_upright_before_the_front_camera_and_is_not_mirrored(views):
    """Our room has z up and the front camera towards -y: so it comes back, turned by little."""
    turned = views.scene.points(outside(torch.eye(3))) - views.scene.points(
        outside(torch.zeros(1, 3))
    )
    turned = turned / turned.norm(dim=1, keepdim=True)
    assert torch.linalg.det(turned) == pytest.approx(1, abs=1e-4)
    assert turned[0, 0] > 0.95 and turned[1, 1] > 0.85 and turned[2, 2] > 0.85
    front = views.cameras.centres()[0]
    assert front[1] < 0 and abs(front[0]) < 0.1 * abs(front[1])


def test_most_points_lie_in_the_unit_box_and_on_surfaces(views):
    points, colors = views.cloud
    inside = (points.abs().amax(-1) <= 0.5001).float().mean()
    assert inside == pytest.approx(capture.REACH, abs=0.02)
    truth = room(0.5)
    near = truth.means.norm(dim=-1) < 1.2  # the far walls are wherever the dome is
    surface = views.scene.points(outside(truth.means[near]))
    distance, nearest = torch.cdist(points, surface).min(1)
    close = distance < 0.15 * UNIT * views.scene.scale
    assert close.float().mean() > 0.5
    assert (colors[close] - truth.colors[near][nearest[close]]).abs().mean() < 0.2


def test_moving_there_and_back_is_the_identity():
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double())[
        0
    ]
    move = Similarity(0.3, turn * torch.linalg.det(turn), torch.tensor([5.0, -2, 7]).double())
    points = torch.rand(20, 3)
    assert torch.allclose(move.back(move.points(points)), points, atol=1e-5)
    again = Similarity.from_json(move.to_json())
    assert torch.equal(again.points(points), move.points(points))
    cameras = orbit_cameras([10, 80], 15, size=32)
    before, _ = project(points, cameras)
    assert torch.allclose(project(move.points(points), move.cameras(cameras))[0], before, atol=1e-2)


def test_pictures_are_not_enlarged(folder):
    found = capture.find(folder, MultiviewConfig())
    largest = max(max(camera.width, camera.height) for camera in found.cameras)
    assert found.side(10 * largest) == largest and found.side(8) == 8


def test_own_points_are_taken_instead_of_found_ones(folder, tmp_path):
    root = changed(folder, tmp_path)
    own = outside(room(0.5).means)
    save_points_ply(root / capture.POINTS, own, room(0.5).colors)
    views = read(root)
    assert torch.allclose(views.scene.back(views.cloud[0]), own, atol=1e-3)
    assert torch.allclose(views.cloud[1], room(0.5).colors, atol=0.01)
    (root / capture.POINTS).write_text("no ply")
    with pytest.raises(UserError, match="points3d"):
        read(root)


def test_a_case_with_opaque_views_is_a_scene_and_one_with_mattes_is_not(tmp_path):
    entries = []
    for view, name in enumerate(["input", "multiview/0", "multiview/1"]):
        facts = json.loads(json.dumps({"name": name, "width": 32, "height": 24, "fov_deg": 40.0}))
        c2w = torch.linalg.inv(camera(view).viewmats[0].double())
        entries.append(facts | {"c2w_opengl": c2w.tolist()})
    (tmp_path / "cameras.json").write_text(json.dumps({"cameras": entries}))
    opaque = np.full((24, 32, 3), 90, np.uint8)
    for frame in range(2):
        for name in ("input", f"multiview/{frame:04d}"):
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
        iio.imwrite(tmp_path / "input" / f"{frame:04d}.png", opaque)
        for view in range(2):
            iio.imwrite(tmp_path / "multiview" / f"{frame:04d}" / f"{view}.png", opaque)
    found = capture.find(tmp_path, CONFIG)
    assert [file.parent.name for file in found.files[1]] == ["0000", "0001"]
    assert found.cameras[0].Ks[0, 0, 0] == pytest.approx(found.cameras[0].Ks[0, 1, 1])
    assert capture.find(tmp_path, replace(CONFIG, views="none")) is None
    assert capture.find(tmp_path, replace(CONFIG, engine="inflate")) is None
    cut = np.dstack([opaque, np.zeros((24, 32, 1), np.uint8)])
    iio.imwrite(tmp_path / "multiview" / "0000" / "0.png", cut)
    assert capture.find(tmp_path, CONFIG) is None


def test_a_scene_whose_views_are_ignored_has_no_camera_of_ours(folder):
    assert capture.find(folder, replace(CONFIG, views="none")) is None
    assert torch.equal(
        given.front_camera(folder, SIZE).viewmats, orbit_cameras([0], size=8).viewmats
    )


def test_what_is_missing_is_named(folder, tmp_path):
    with pytest.raises(UserError, match="views/other"):
        capture.find(changed(folder, tmp_path, name="views/other"), CONFIG)
    facts = json.loads((folder / "cameras.json").read_text())
    for entry in facts["cameras"]:
        entry.pop("fx")
    (tmp_path / "room" / "cameras.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="fov_deg"):
        capture.find(tmp_path / "room", CONFIG)
    (tmp_path / "room" / "cameras.json").write_text("{}")
    with pytest.raises(UserError, match="cameras"):
        datasets.find_prepared(tmp_path / "room")


def test_a_lens_that_is_no_pinhole_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match="k1"):
        capture.find(changed(folder, tmp_path, k1=-0.2), CONFIG)


def test_a_camera_that_lacks_a_frame_is_named(folder, tmp_path):
    root = write_room(tmp_path / "room", 2)
    (root / "views" / "cam4" / "0001.png").unlink()
    with pytest.raises(UserError, match="cam4 has 1 frames"):
        capture.find(root, CONFIG)


def test_parallel_cameras_in_a_grid_find_the_surfaces_too():
    """As rigs for films stand: side by side, all looking the same way."""
    base = orbit_cameras([8], 14, size=SIZE, radius=2.0, fov_deg=50)
    viewmats = base.viewmats.repeat(6, 1, 1)
    aside, up = torch.tensor([-0.4, 0.0, 0.4]), torch.tensor([-0.1, 0.1])
    viewmats[:, :2, 3] -= torch.cartesian_prod(aside, up)
    cameras = Cameras(viewmats, base.Ks.repeat(6, 1, 1), SIZE, SIZE)
    rgb = render(room(0.5), cameras, background=0.0)[0].clamp(0, 1)
    images = (torch.cat([rgb, torch.ones_like(rgb[..., :1])], -1) * 255).round().byte().numpy()
    points, _ = plane_sweep.points(images, cameras)
    near = points[points.norm(dim=-1) < 1]
    distance = torch.cdist(near, room(0.5).means).min(1).values
    assert len(near) > 2000 and distance.median() < 0.05


def test_cameras_that_disagree_are_told(views):
    noise = np.random.default_rng(0).integers(0, 255, views.images[0].shape, np.uint8)
    noise[..., 3] = 255
    with pytest.raises(UserError, match="hardly agree"):
        plane_sweep.points(noise, views.cameras)
    with pytest.raises(UserError, match="one place"):
        same = Cameras(views.cameras.viewmats[:1].repeat(7, 1, 1), views.cameras.Ks, SIZE, SIZE)
        plane_sweep.points(views.images[0], same)


def test_every_view_of_a_scene_counts_like_the_front():
    for preset in PRESETS.values():
        config = capture.settings(preset.fourd)
        assert config.view_rgb == config.front_rgb > 0
        assert config.view_alpha == config.front_alpha > 0
        if preset.fourd.view_rgb:  # what a view's structure weighs beside its colours stays
            assert config.view_rgb == preset.fourd.view_rgb
        assert config.sds == 0 and not config.front_always


def test_principal_points_and_focal_lengths_are_read_as_written(folder):
    shot = read_case_cameras(folder / "cameras.json")[f"heldout/cam{HELD_OUT}"]
    assert torch.allclose(shot.Ks, camera(HELD_OUT).Ks)
