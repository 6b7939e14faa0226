"""Side views of the first frame: from a case folder, from a mesh, from the shape prior."""

from __future__ import annotations

import json
from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ds4d.cameras import Cameras, orbit_cameras
from ds4d.clip import Clip
from ds4d.images import over
from ds4d.multiview.l4gm import sides
from ds4d.multiview.l4gm.engine import front_camera
from ds4d.multiview.l4gm.frames import SIZE, l4gm_cameras, reframed, silhouette
from ds4d.run.events import Event
from tests.mesh import boxes
from tests.stages import finished

HALF = 0.5  # of what the front frames show at the origin, world units
FRONT = front_camera(HALF, 64)
CLIP = Clip(np.zeros((2, 8, 8, 3), np.uint8), np.array([0.0, 1.0]), np.array([1, 3]), 4, None, True)


def entry(name: str, camera: Cameras) -> dict:
    """The line of a camera in cameras.json."""
    c2w = torch.linalg.inv(camera.viewmats[0].double()) @ torch.diag(
        torch.tensor([1.0, -1, -1, 1], dtype=torch.float64)
    )
    return {"name": name, "c2w_opengl": c2w.tolist(), "width": 64, "height": 64, "fov_deg": 30.0}


def case(root, azimuths, elevation=0.0):
    """A case of four frames with six views of the boxes; the views of a frame differ in red."""
    cameras = [orbit_cameras([a], elevation, size=64) for a in azimuths]
    lines = [entry("input", orbit_cameras([0.0], size=64))]
    lines += [entry(f"multiview/{k}", camera) for k, camera in enumerate(cameras)]
    for frame in range(4):
        (root / f"multiview/{frame:04d}").mkdir(parents=True)
        (root / "input").mkdir(exist_ok=True)
        iio.imwrite(root / f"input/{frame:04d}.png", boxes.views(orbit_cameras([0.0], size=64))[0])
        for k, camera in enumerate(cameras):
            image = boxes.views(camera)[0]
            image[..., 0] = 10 * frame + k
            iio.imwrite(root / f"multiview/{frame:04d}/{k}.png", image)
    (root / "cameras.json").write_text(json.dumps({"cameras": lines}))
    return root


def test_level_views_of_a_case_are_used_where_they_stand(tmp_path):
    draw = sides.find_given(case(tmp_path, (0, 45, 95, 170, 225, 260)), "multiview", CLIP)
    events, found = finished(draw(np.zeros((2, 64, 64, 4), np.uint8), FRONT))
    assert found.azimuths == pytest.approx((95, 170, 260)) and "95, 170, 260" in events[-1].message
    # of the first sampled frame, the second of the case: views 2, 3 and 5
    assert [int(image[..., 0].min()) for image in found.images] == [12, 13, 15]


@pytest.mark.parametrize(
    ("azimuths", "elevation"), [((30, 90, 150, 210, 270, 330), 20.0), ((0, 5, 90, 91, 355, 10), 0)]
)
def test_views_from_above_or_too_few_are_not(tmp_path, azimuths, elevation):
    root = case(tmp_path, azimuths, elevation)
    found = sides.find_given(root, "multiview", CLIP)
    assert (found is None) == (elevation != 0) or found is None
    assert sides.find_given(root, "none", CLIP) is None


def test_a_picture_of_our_camera_is_framed_as_l4gm_s():
    """The same object through both cameras, but for their perspectives."""
    thin = (((-0.3, -0.01, -0.2), (0.2, 0.01, 0.3), (0.9, 0.2, 0.1)),)
    ours = boxes.views(orbit_cameras([0.0], size=256), thin)[0]
    theirs = boxes.views(l4gm_cameras([0.0], SIZE), thin)[0]
    different = np.abs(reframed(ours, HALF).astype(int) - over(theirs)) > 64
    assert different.mean() < 0.01  # the outline
    inside = silhouette(ours, HALF)
    assert (inside ^ (theirs[..., 3] > 127)).sum() < 0.03 * inside.sum()


def test_a_mesh_is_fitted_to_the_frame_and_drawn_from_the_sides():
    frame = boxes.views(FRONT)[0]
    whole = boxes.mesh()
    moved = replace(whole, vertices=0.6 * whole.vertices + torch.tensor([0.2, 0.0, -0.1]))

    def make(given):
        assert np.array_equal(given, frame)
        yield Event("multiview", 1, 2, "made")
        return moved

    events, found = finished(sides.of_mesh(make)(frame[None], FRONT))
    assert events[-1].metrics["sides_iou"] > 0.93 and events[-1].metrics["sides_psnr"] > 15
    assert not events[-1].warning and "dB" in events[-1].message
    truth = over(boxes.views(l4gm_cameras((90, 180, 270), SIZE)))
    for image, true in zip(found.images, truth, strict=True):
        drawn, there = (image < 200).any(-1), (true < 200).any(-1)
        assert (drawn & there).sum() > 0.85 * (drawn | there).sum()
        assert np.abs(image[drawn & there].astype(int) - true[drawn & there]).mean() < 15


def test_a_mesh_of_something_else_is_doubted():
    tower = boxes.mesh((((-0.05, -0.05, -0.4), (0.05, 0.05, 0.4), (0.5, 0.5, 0.5)),))
    frame = boxes.views(FRONT)[0]

    def make(given):
        yield Event("multiview", 1, 1)
        return tower

    events, _ = finished(sides.of_mesh(make)(frame[None], FRONT))
    assert events[-1].warning and "poor" in events[-1].message


def test_the_embedded_shape_is_said_to_be_a_guess():
    frame = boxes.views(FRONT)[0]
    events, found = finished(sides.of_shape_prior(0.0, 1.0)(np.stack([frame] * 2), FRONT))
    assert events[-1].warning and "a guess" in events[-1].message
    assert found.azimuths == (90, 180, 270)
    back = (found.images[1] < 200).any(-1)
    front = silhouette(frame, HALF)[:, ::-1]
    assert (back & front).sum() > 0.6 * (back | front).sum()  # nearer parts look larger


def test_an_empty_frame_has_sides_without_an_object():
    frames = np.zeros((2, 64, 64, 4), np.uint8)
    _, found = finished(sides.of_shape_prior(None, 1.0)(frames, FRONT))
    assert (found.images == 255).all()
    assert sides.fitted(boxes.mesh(), np.zeros((32, 32), bool))[1] == 0
