"""A known thing, moved away, comes back to where its views show it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from ds4d.cameras import project, rig_cameras
from ds4d.errors import UserError
from ds4d.mesh.align import cube_rotations, fit
from ds4d.mesh.mesh import Mesh
from tests.mesh import boxes
from tests.stages import finished

CAMERAS = rig_cameras(128)
PIXEL = 1 / 128  # of the pictures, in world units at the origin


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return boxes.views(CAMERAS)


def moved(mesh: Mesh, rotation=None, scale=1.0, shift=(0.0, 0.0, 0.0)) -> Mesh:
    rotation = torch.eye(3) if rotation is None else rotation
    return replace(mesh, vertices=scale * mesh.vertices @ rotation.T + torch.tensor(shift))


def error(mesh: Mesh) -> float:
    """The largest distance of a vertex from where it belongs."""
    return float((mesh.vertices - boxes.mesh().vertices).norm(dim=-1).max())


def test_the_cube_has_24_rotations():
    rotations = cube_rotations()
    assert torch.equal(rotations[0], torch.eye(3))
    assert len({tuple(rotation.flatten().tolist()) for rotation in rotations}) == 24
    for rotation in rotations:
        assert torch.equal(rotation @ rotation.T, torch.eye(3))
        assert torch.linalg.det(rotation) == 1


@pytest.mark.parametrize("scale, shift", [(1.0, (0, 0, 0)), (0.02, (0.4, -3, 1)), (70, (9, 5, 2))])
def test_scale_and_shift_are_recovered(images, scale, shift):
    away = moved(boxes.mesh(), scale=scale, shift=shift)
    events, (mesh, ious) = finished(fit(away, images, CAMERAS, search_rotation=False))
    assert error(mesh) < 0.5 * PIXEL
    assert min(ious) > 0.97
    assert not any(event.warning for event in events)


@pytest.mark.parametrize("turn", (1, 6, 10, 15, 20, 23))
def test_rotations_are_recovered(images, turn):
    away = moved(boxes.mesh(), cube_rotations()[turn], 13.0, (1.0, 2.0, -3.0))
    _, (mesh, ious) = finished(fit(away, images, CAMERAS, search_rotation=True))
    assert error(mesh) < 0.5 * PIXEL
    assert np.mean(ious) > 0.97


def test_rotations_stay_when_they_are_not_searched(images):
    away = moved(boxes.mesh(), cube_rotations()[5])
    events, (_, ious) = finished(fit(away, images, CAMERAS, search_rotation=False))
    assert np.mean(ious) < 0.7
    assert events[-1].warning and "poorly" in events[-1].message


def test_a_mirrored_mesh_stays_mirrored_with_a_lower_iou(images):
    mirrored = replace(boxes.mesh(), vertices=boxes.mesh().vertices * torch.tensor([-1.0, 1, 1]))
    _, (mesh, ious) = finished(fit(mirrored, images, CAMERAS, search_rotation=True))
    assert np.mean(ious) < 0.87
    hands = [torch.linalg.det(m.vertices[[4, 2, 1]] - m.vertices[0]) for m in (mirrored, mesh)]
    assert hands[0] < 0 and hands[1] < 0


SIDES = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9], [0.1, 0.8, 0.1], [0.9, 0.8, 0.1]])


def side_color(places: torch.Tensor) -> torch.Tensor:
    """Each side of a square tower has its colour; [N, 3]."""
    along_x = places[:, 0].abs() > places[:, 1].abs()
    positive = torch.where(along_x, places[:, 0], places[:, 1]) > 0
    return SIDES[2 * along_x.long() + positive.long()]


@pytest.mark.parametrize("quarter", range(4))
def test_colours_decide_where_silhouettes_cannot(quarter):
    tower = (((-0.15, -0.15, -0.4), (0.15, 0.15, 0.4), (0.0, 0.0, 0.0)),)
    images = boxes.views(CAMERAS, tower, side_color)
    box = boxes.mesh(tower)
    corners = box.vertices[box.faces]  # every face gets its own corners
    colors = side_color(corners.mean(1) * torch.tensor([1.0, 1.0, 0.0]))
    loose = Mesh(corners.reshape(-1, 3), torch.arange(36).reshape(-1, 3),
                 colors.repeat_interleave(3, 0))  # fmt: skip
    angle = torch.tensor(quarter * np.pi / 2)
    turn = torch.tensor(
        [[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]]
    ).float()
    _, (mesh, _) = finished(fit(moved(loose, turn, 5.0), images, CAMERAS, search_rotation=True))
    middles = mesh.vertices[mesh.faces].mean(1)
    upright = middles[:, 2].abs() < 0.3
    assert torch.allclose(
        side_color(middles[upright]), mesh.colors[mesh.faces[:, 0]][upright], atol=1e-3
    )


def test_the_iou_is_that_of_filled_polygons(images):
    """For a mesh that does not fit, drawn by other means."""
    other = moved(boxes.mesh(), torch.diag(torch.tensor([1.0, 0.6, 1.4])))
    _, (mesh, ious) = finished(fit(other, images, CAMERAS, search_rotation=False))
    pixels, _ = project(mesh.vertices, CAMERAS)
    for view in range(len(CAMERAS)):
        canvas = np.zeros((1024, 1024), np.uint8)  # eight times finer: rims are drawn too wide
        for face in mesh.faces:
            corners = (pixels[view][face].numpy() * 8 * 16).round().astype(np.int32)
            cv2.fillConvexPoly(canvas, corners, 1, shift=4)
        shown, mask = canvas > 0, images[view, ..., 3].repeat(8, 0).repeat(8, 1) > 0
        assert abs((shown & mask).sum() / (shown | mask).sum() - ious[view]) < 0.03


def test_an_empty_view_does_not_affect_the_alignment(images):
    blank = images.copy()
    blank[3, ..., 3] = 0
    away = moved(boxes.mesh(), cube_rotations()[7], 3.0)
    _, (mesh, ious) = finished(fit(away, blank, CAMERAS, search_rotation=True))
    assert error(mesh) < PIXEL
    assert ious[3] == 0


def test_the_last_event_reports_the_iou(images):
    events, (_, ious) = finished(fit(boxes.mesh(), images, CAMERAS, search_rotation=True))
    last = events[-1]
    assert last.step == last.total and len(events) > 20
    assert last.metrics["iou"] == pytest.approx(np.mean(ious))
    assert last.metrics["front_iou"] == ious[0]
    assert f"{ious[0]:.2f}" in last.message and f"{np.mean(ious):.3f}" in last.message
    assert last.preview.shape == (256, 7 * 128, 3) and last.preview.dtype == np.uint8
    above, below = last.preview[:128].astype(float), last.preview[128:].astype(float)
    assert np.abs(above - below).mean() < 12  # the mesh looks as the views do, a bit shaded


def test_nothing_to_align_is_an_error(images):
    empty = images.copy()
    empty[0, ..., 3] = 0
    with pytest.raises(UserError, match="No object"):
        finished(fit(boxes.mesh(), empty, CAMERAS, search_rotation=False))
    for mesh in (replace(boxes.mesh(), faces=torch.zeros(0, 3, dtype=torch.int64)),
                 replace(boxes.mesh(), vertices=torch.zeros(24, 3))):  # fmt: skip
        with pytest.raises(UserError, match="no surface"):
            finished(fit(mesh, images, CAMERAS, search_rotation=False))
