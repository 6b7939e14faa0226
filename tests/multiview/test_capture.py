"""Multi-camera captures: found, read with their own intrinsics, normalised without mirroring."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ds4d import clip
from ds4d.cameras import Similarity, orbit_cameras, project, read_case_cameras
from ds4d.clip import datasets
from ds4d.config import ClipConfig, MultiviewConfig
from ds4d.errors import UserError
from ds4d.mesh.io import save_points_ply
from ds4d.multiview import capture, given
from ds4d.presets import PRESETS
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
    fronts = capture.square_frames(clipped.frames, SIZE)
    return finished(capture.run(found, clipped, fronts, SIZE))[1]


def changed(folder: Path, tmp_path: Path, **values) -> Path:
    """A capture of the same images, with other values in one entry of cameras.json."""
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


def test_points_project_to_the_pixels_of_the_original_cameras(views):
    """Through coordinates, units, image size and principal point: to a thousandth of the image."""
    places = room(0.5).means[::20]
    placed = views.capture_to_world.points(outside(places))
    ours, depth = project(placed, views.cameras)
    for index in range(len(RIG) - 1):
        shot = camera(index)
        true, true_depth = project(places, shot)
        share = true[0] / torch.tensor([shot.width, shot.height])
        front = true_depth[0] > 0.1
        assert (ours[index] / SIZE - share)[front].abs().max() < 1e-3
        ratio = depth[index] / true_depth[0]
        assert torch.allclose(ratio[front], ratio[front][:1].expand(int(front.sum())), rtol=1e-3)


def test_the_capture_becomes_upright_and_is_not_mirrored(views):
    """The room has z up and the front camera at -y, and so has the result, but for a small turn."""
    turned = views.capture_to_world.points(outside(torch.eye(3))) - views.capture_to_world.points(
        outside(torch.zeros(1, 3))
    )
    turned = turned / turned.norm(dim=1, keepdim=True)
    assert torch.linalg.det(turned) == pytest.approx(1, abs=1e-4)
    assert turned[0, 0] > 0.95 and turned[1, 1] > 0.85 and turned[2, 2] > 0.85
    front = views.cameras.centres()[0]
    assert front[1] < 0 and abs(front[0]) < 0.1 * abs(front[1])


def test_most_points_are_in_the_unit_box_and_on_surfaces(views):
    points, colors = views.cloud
    inside = (points.abs().amax(-1) <= 0.5001).float().mean()
    assert inside == pytest.approx(capture.INSIDE, abs=0.02)
    truth = room(0.5)
    near = truth.means.norm(dim=-1) < 1.2  # the far walls are wherever the dome is
    surface = views.capture_to_world.points(outside(truth.means[near]))
    distance, nearest = torch.cdist(points, surface).min(1)
    close = distance < 0.15 * UNIT * views.capture_to_world.scale
    assert close.float().mean() > 0.5
    assert (colors[close] - truth.colors[near][nearest[close]]).abs().mean() < 0.2


def test_a_similarity_and_its_inverse_are_the_identity():
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


def test_images_are_not_enlarged(folder):
    found = capture.find(folder, MultiviewConfig())
    largest = max(max(camera.width, camera.height) for camera in found.cameras)
    assert found.image_size(10 * largest) == largest and found.image_size(8) == 8


def test_points3d_replaces_the_plane_sweep(folder, tmp_path):
    root = changed(folder, tmp_path)
    own = outside(room(0.5).means)
    save_points_ply(root / capture.POINTS, own, room(0.5).colors)
    views = read(root)
    assert torch.allclose(views.capture_to_world.back(views.cloud[0]), own, atol=1e-3)
    assert torch.allclose(views.cloud[1], room(0.5).colors, atol=0.01)
    (root / capture.POINTS).write_text("no ply")
    with pytest.raises(UserError, match="points3d"):
        read(root)


def test_a_case_with_opaque_views_is_a_capture_and_one_with_mattes_is_not(tmp_path):
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


def test_a_capture_whose_views_are_ignored_has_the_default_front_camera(folder):
    assert capture.find(folder, replace(CONFIG, views="none")) is None
    assert torch.equal(
        given.front_camera(folder, SIZE).viewmats, orbit_cameras([0], size=8).viewmats
    )


def test_missing_folders_and_fields_are_named(folder, tmp_path):
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


def test_lens_distortion_is_an_error(folder, tmp_path):
    with pytest.raises(UserError, match="k1"):
        capture.find(changed(folder, tmp_path, k1=-0.2), CONFIG)


def test_a_camera_with_a_missing_frame_is_named(folder, tmp_path):
    root = write_room(tmp_path / "room", 2)
    (root / "views" / "cam4" / "0001.png").unlink()
    with pytest.raises(UserError, match="cam4 has 1 frames"):
        capture.find(root, CONFIG)


def test_every_view_of_a_capture_has_the_weight_of_the_front():
    for preset in PRESETS.values():
        config = capture.optimization_settings(preset.fourd)
        assert config.view_rgb == config.front_rgb > 0
        assert config.view_alpha == config.front_alpha > 0
        if preset.fourd.view_rgb:  # what a view's structure weighs beside its colours stays
            assert config.view_rgb == preset.fourd.view_rgb
        assert config.sds == 0 and not config.front_always


def test_intrinsics_are_read_as_written(folder):
    shot = read_case_cameras(folder / "cameras.json")[f"heldout/cam{HELD_OUT}"]
    assert torch.allclose(shot.Ks, camera(HELD_OUT).Ks)
