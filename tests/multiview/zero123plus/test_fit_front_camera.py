"""The front camera that is fitted to the views, where the truth is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from ds4d.cameras import project, rig_cameras
from ds4d.multiview.zero123plus.engine import place_cameras
from ds4d.multiview.zero123plus.fit_front_camera import fit_front_camera, silhouette_iou
from examples.make_clips import render

SIZE = 96
PLACES = [(1.0, 0.0, 0.0), (0.75, 0.05, -0.08), (1.2, -0.03, 0.02)]


def blob() -> torch.Tensor:
    """Points inside three balls of different size, none of them in the middle."""
    generator = torch.Generator().manual_seed(0)
    balls = [((0.0, 0.0, -0.12), 0.2), ((0.2, 0.05, 0.1), 0.12), ((-0.1, -0.15, 0.2), 0.09)]
    points = torch.randn(60_000, 3, generator=generator)
    points = points / points.norm(dim=1, keepdim=True)
    return torch.cat([points * radius + torch.tensor(centre) for centre, radius in balls])


def silhouettes(points: torch.Tensor) -> np.ndarray:
    """The seven masks [7, SIZE, SIZE] uint8, closed where points leave holes."""
    columns, rows = project(points, rig_cameras(SIZE))[0].floor().long().unbind(-1)
    masks = np.zeros((7, SIZE, SIZE), np.uint8)
    for view, mask in enumerate(masks):
        mask[rows[view], columns[view]] = 255
        filled = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        mask[:] = filled
    return masks


def moved(mask: np.ndarray, scale: float, right: float, down: float) -> np.ndarray:
    """A front mask whose image is scaled about its centre, then shifted (fractions)."""
    size = len(mask)
    centre = size / 2 - 0.5
    matrix = np.float32([
        [scale, 0, centre * (1 - scale) + right * size],
        [0, scale, centre * (1 - scale) + down * size],
    ])  # fmt: skip
    return cv2.warpAffine(mask, matrix, (size, size))


@pytest.mark.parametrize(("scale", "right", "down"), PLACES)
def test_scale_and_shift_are_found(scale, right, down):
    masks = silhouettes(blob())
    fronts = moved(masks[0], scale, right, down)[None]
    fit = fit_front_camera(fronts, masks[None, 1:], rig_cameras(SIZE))
    assert fit.scale == pytest.approx(scale, rel=0.03)
    assert fit.shift == pytest.approx((right, down), abs=0.012)
    assert fit.iou > 0.95


def test_the_fitted_camera_sees_the_object_where_the_front_image_has_it():
    masks = silhouettes(blob())
    front = moved(masks[0], 0.75, 0.05, -0.08)
    cameras, iou = place_cameras(front[None], masks[None, 1:], "v1.2")
    at = project(blob(), cameras)[0][0]  # the front camera
    rows, columns = np.nonzero(front)
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    actual = [*at.min(0).values.tolist(), *at.max(0).values.tolist()]
    np.testing.assert_allclose(actual, expected, atol=2.0)
    torch.testing.assert_close(cameras.Ks[1:], rig_cameras(SIZE).Ks[1:])
    assert iou > 0.95


def test_version_1_1_keeps_the_frame_of_the_front():
    masks = silhouettes(blob())
    cameras, _ = place_cameras(masks[None, 0], masks[None, 1:], "v1.1")
    half = math.tan(math.radians(49.1 / 2))
    torch.testing.assert_close(cameras.Ks[:, 0, 0], torch.full((7,), SIZE / 2 / half))
    up = cameras.centres()[:, 2] / cameras.centres().norm(dim=-1)
    expected = torch.tensor([0, 30, -20, 30, -20, 30, -20]).deg2rad().sin()
    torch.testing.assert_close(up, expected, atol=1e-5, rtol=0)


def test_views_of_different_objects_agree_poorly():
    masks, other = silhouettes(blob()), silhouettes(blob() * torch.tensor([1.2, 0.3, 0.4]))
    mixed = np.stack([masks[1], other[2], masks[3], other[4], masks[5], other[6]])[None]
    assert fit_front_camera(masks[:1], mixed, rig_cameras(SIZE)).iou < 0.75


def test_nothing_in_common_gives_the_nominal_camera():
    views = np.zeros((2, 6, SIZE, SIZE), np.uint8)
    fit = fit_front_camera(np.full((2, SIZE, SIZE), 255, np.uint8), views, rig_cameras(SIZE))
    assert (fit.scale, fit.shift, fit.iou) == (1.0, (0.0, 0.0), 0.0)
    assert torch.equal(fit.camera(rig_cameras(SIZE)[0]).Ks, rig_cameras(SIZE).Ks[:1])


@pytest.fixture(scope="module")
def frog() -> np.ndarray:
    """Alphas [2, 7, SIZE, SIZE] of the bundled frog at two moments of its jump."""
    images = [render("frog", time, rig_cameras(SIZE), samples=2) for time in (0, 0.5)]
    return np.stack(images)[..., 3]


@pytest.mark.parametrize(("scale", "right", "down"), PLACES)
def test_on_rendered_views_of_a_moving_animal(frog, scale, right, down):
    fronts = np.stack([moved(front, scale, right, down) for front in frog[:, 0]])
    views, cameras = frog[:, 1:], rig_cameras(SIZE)
    fit = fit_front_camera(fronts, views, cameras)
    assert fit.scale == pytest.approx(scale, rel=0.025)
    assert fit.shift == pytest.approx((right, down), abs=1.5 / SIZE)
    assert fit.iou > 0.95
    if scale != 1:
        assert silhouette_iou(fronts, views, cameras) < fit.iou - 0.05
