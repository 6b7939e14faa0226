"""View correction: warps and colour changes of generated views."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ds4d.cameras import rig_cameras
from ds4d.errors import UserError
from ds4d.fourd.view_correction import GRID, ViewCorrection, needs_correction
from ds4d.multiview.views import Views
from ds4d.splatting.splats import Splats, render


def balls(shift: int) -> Views:
    """A ball in seven views; every other one of the six is off by some pixels."""
    cameras = rig_cameras(128)
    ball = Splats(
        torch.zeros(1, 3), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.15),
        torch.ones(1), torch.ones(1, 3),
    )  # fmt: skip
    rgb, alpha, _ = render(ball, cameras)
    images = (torch.cat([rgb, alpha], -1).clamp(0, 1) * 255).byte().numpy()
    images[2::2] = np.roll(images[2::2], shift, axis=2)
    return Views(images[None], cameras)


def at(points: list[tuple[float, float]]) -> torch.Tensor:
    return torch.tensor([points])


def test_nothing_is_warped_at_first_and_the_front_never():
    correction = ViewCorrection(frames=3, views=2)
    offsets, penalty = correction.offsets(
        torch.tensor([1]), torch.tensor([1]), at([(0.3, -0.9), (2.0, 0.0)])
    )
    assert offsets.shape == (1, 2, 2) and not offsets.any() and penalty == 0
    with torch.no_grad():
        correction.warp.fill_(0.01)
    offsets, penalty = correction.offsets(torch.tensor([2]), torch.tensor([0]), at([(0.0, 0.0)]))
    assert not offsets.any() and penalty == 0


def test_a_warp_moves_nearby_points_in_its_view_only():
    correction = ViewCorrection(frames=2, views=3)
    with torch.no_grad():
        correction.warp[1, 2, 0, :, -1] = 0.02  # along x, the right border
    cell = 2 / (GRID - 1)
    frames, views = torch.tensor([1, 1, 0]), torch.tensor([2, 1, 2])
    points = at([(1.0, 0.0), (1 - cell / 2, 0.7), (1 - cell, 0.5), (-1.0, 0.0)]).expand(3, -1, -1)
    offsets, penalty = correction.offsets(frames, views, points.expand(3, -1, -1))
    torch.testing.assert_close(offsets[0, :, 0], torch.tensor([0.02, 0.01, 0.0, 0.0]))
    assert not offsets[1:].any() and not offsets[..., 1].any()
    assert math.isclose(penalty.item(), 0.02**2 / GRID / 3, rel_tol=1e-5)  # over nodes, views


def test_colours_change_in_brightness_and_contrast_in_their_view_only():
    correction = ViewCorrection(frames=2, views=3)
    colors = torch.rand(5, 3)
    frames, views = torch.tensor([1, 1, 0, 1]), torch.tensor([2, 1, 2, 0])
    corrected, penalty = correction.colors(frames, views, colors)
    torch.testing.assert_close(corrected, colors.expand(4, -1, -1))
    assert penalty == 0
    with torch.no_grad():
        correction.color[1, 2, 0, 0] = 0.1  # more red
        correction.color[1, 2, 1, 2] = -0.5  # blue half way to the middle
        correction.color[:, 0] = 0.3
    corrected, penalty = correction.colors(frames, views, colors)
    torch.testing.assert_close(corrected[1:], colors.expand(3, -1, -1))
    red, green, blue = colors.unbind(-1)
    expected = torch.stack([red + 0.1, green, 0.25 + blue / 2], -1)
    torch.testing.assert_close(corrected[0], expected)
    assert math.isclose(penalty.item(), (0.1**2 + 0.5**2) / 4, rel_tol=1e-5)  # mean of the views


def test_views_that_disagree_are_corrected_unless_the_settings_forbid_it():
    agree, disagree = balls(shift=0), balls(shift=14)
    assert not needs_correction(agree, "auto") and needs_correction(disagree, "auto")
    assert needs_correction(agree, "on") and not needs_correction(disagree, "off")


def test_views_that_were_rendered_from_meshes_are_not_corrected():
    views = replace(balls(shift=14), from_meshes=True)
    assert not needs_correction(views, "auto") and needs_correction(views, "on")


def test_gradients_reach_the_view_that_was_drawn():
    correction = ViewCorrection(frames=2, views=2)
    offsets, penalty = correction.offsets(torch.tensor([1]), torch.tensor([1]), at([(0.2, 0.1)]))
    corrected, more = correction.colors(torch.tensor([1]), torch.tensor([1]), torch.rand(4, 3))
    (offsets.sum() + penalty + corrected.square().sum() + more).backward()
    for learned in correction.parameters():
        assert learned.grad[1, 1].abs().sum() > 0
        assert not learned.grad[0].any() and not learned.grad[1, 0].any()


def test_a_rasterizer_without_offsets_is_named_in_the_error():
    views = balls(shift=14)
    assert not needs_correction(views, "auto", supported=False)
    with pytest.raises(UserError, match="does not support view correction"):
        needs_correction(views, "on", supported=False)
