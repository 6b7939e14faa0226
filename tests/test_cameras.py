"""The camera convention and adapters from other conventions."""

import json
import math

import pytest
import torch

from ds4d import cameras
from ds4d.cameras import Cameras, orbit_cameras, project
from tests.cases import FROG


def seen(point: list[float], azimuth: float, elevation: float = 0.0) -> tuple[float, float]:
    """Image position of a world point, as fractions of the image from its centre: right, down."""
    camera = orbit_cameras([azimuth], elevation, size=100)
    pixels, _ = project(torch.tensor([point], dtype=torch.float32), camera)
    x, y = pixels[0, 0].tolist()
    return x / 50 - 1, y / 50 - 1


def test_front_view_has_x_to_the_right_and_z_up():
    assert seen([0.3, 0, 0], 0)[0] > 0.2
    assert seen([0, 0, 0.3], 0)[1] < -0.2
    assert seen([0.0, 0, 0], 0) == pytest.approx((0, 0), abs=1e-5)


def test_positive_azimuth_sees_the_right_side_of_the_front():
    """At azimuth 90 the camera stands at +X: what was near (-Y) is now on the left."""
    assert seen([0, -0.3, 0], 90)[0] < -0.2
    assert orbit_cameras([90.0], size=10).centres()[0].tolist() == pytest.approx(
        [cameras.RADIUS, 0, 0], abs=1e-5
    )


def test_positive_elevation_looks_down():
    """From above, a point behind the origin on the floor appears higher than one before it."""
    assert seen([0, 0.3, 0], 0, 20)[1] < seen([0, -0.3, 0], 0, 20)[1]
    assert orbit_cameras([0.0], 20.0, size=10).centres()[0, 2] > 0


@pytest.mark.parametrize("azimuth", [0, 37, 200])
@pytest.mark.parametrize("elevation", [-30, 0, 60])
def test_cameras_are_rigid_and_stand_where_they_should(azimuth, elevation):
    camera = orbit_cameras([azimuth], elevation, size=64, radius=2.0)
    rotation = camera.viewmats[0, :3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-5, rtol=0)
    assert torch.det(rotation).item() == pytest.approx(1, abs=1e-5)
    a, e = math.radians(azimuth), math.radians(elevation)
    where = [math.cos(e) * math.sin(a), -math.cos(e) * math.cos(a), math.sin(e)]
    assert camera.centres()[0].tolist() == pytest.approx([2 * x for x in where], abs=1e-5)


def test_one_unit_fills_the_image():
    assert seen([0.5, 0, 0], 0)[0] == pytest.approx(1, abs=1e-5)


def test_resizing_keeps_the_field_of_view():
    camera = orbit_cameras([30.0], 10.0, size=128)
    point = torch.tensor([[0.1, 0.2, 0.3]])
    small, _ = project(point, camera)
    large, _ = project(point, camera.resized(512, 512))
    torch.testing.assert_close(small * 4, large)


def test_saved_cameras_are_read_back(tmp_path):
    saved = cameras.rig_cameras(96)
    cameras.save_cameras(tmp_path / "cameras.json", saved)
    read = cameras.load_cameras(tmp_path / "cameras.json")
    torch.testing.assert_close(read.viewmats, saved.viewmats)
    assert (read.width, read.height, len(read)) == (96, 96, 7)


def test_cameras_of_different_sizes_are_not_mixed():
    with pytest.raises(ValueError, match="image size"):
        cameras.concatenate([orbit_cameras([0.0], size=8), orbit_cameras([0.0], size=9)])


def test_case_cameras_follow_the_convention(tmp_path):
    """Written by hand from the definition: columns right, up, backward and position."""
    a, e, radius = math.radians(40), math.radians(20), 1.8
    backward = [math.cos(e) * math.sin(a), -math.cos(e) * math.cos(a), math.sin(e)]
    right = [math.cos(a), math.sin(a), 0.0]
    up = torch.linalg.cross(torch.tensor(backward), torch.tensor(right)).tolist()
    position = [radius * x for x in backward]
    c2w = [list(row) for row in zip(right, up, backward, position, strict=True)] + [[0, 0, 0, 1]]
    entry = {"name": "input", "width": 64, "height": 48, "fov_deg": 40.0, "c2w_opengl": c2w}
    (tmp_path / "cameras.json").write_text(json.dumps({"cameras": [entry]}))
    camera = cameras.read_case_cameras(tmp_path / "cameras.json")["input"]
    expected = orbit_cameras([40.0], 20.0, size=48, radius=radius, fov_deg=40.0)
    torch.testing.assert_close(camera.viewmats, expected.viewmats, atol=1e-5, rtol=0)
    focal = 24 / math.tan(math.radians(20))
    torch.testing.assert_close(
        camera.Ks[0], torch.tensor([[focal, 0, 32], [0, focal, 24], [0, 0, 1]])
    )


def test_the_rig_is_that_of_a_case():
    case: dict[str, Cameras] = cameras.read_case_cameras(FROG / "cameras.json")
    rig = cameras.rig_cameras(case["input"].width)
    for index, name in enumerate(["input", *(f"multiview/{k}" for k in range(6))]):
        torch.testing.assert_close(case[name].viewmats[0], rig.viewmats[index], atol=1e-5, rtol=0)
        torch.testing.assert_close(case[name].Ks[0], rig.Ks[index])
