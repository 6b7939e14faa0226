"""Bends and tints of pseudo views."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ds4d.cameras import rig_cameras
from ds4d.errors import UserError
from ds4d.fourd.view_correction import NODES, Warps, wanted
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


def at(places: list[tuple[float, float]]) -> torch.Tensor:
    return torch.tensor([places])


def test_nothing_is_bent_at_first_and_the_front_never():
    warps = Warps(frames=3, views=2)
    bent, springs = warps.bent(torch.tensor([1]), torch.tensor([1]), at([(0.3, -0.9), (2.0, 0.0)]))
    assert bent.shape == (1, 2, 2) and not bent.any() and springs == 0
    with torch.no_grad():
        warps.grids.fill_(0.01)
    bent, springs = warps.bent(torch.tensor([2]), torch.tensor([0]), at([(0.0, 0.0)]))
    assert not bent.any() and springs == 0


def test_a_bend_moves_what_lies_there_and_only_in_its_view():
    warps = Warps(frames=2, views=3)
    with torch.no_grad():
        warps.grids[1, 2, 0, :, -1] = 0.02  # along x, the right border
    cell = 2 / (NODES - 1)
    frames, views = torch.tensor([1, 1, 0]), torch.tensor([2, 1, 2])
    places = at([(1.0, 0.0), (1 - cell / 2, 0.7), (1 - cell, 0.5), (-1.0, 0.0)]).expand(3, -1, -1)
    bent, springs = warps.bent(frames, views, places)
    torch.testing.assert_close(bent[0, :, 0], torch.tensor([0.02, 0.01, 0.0, 0.0]))
    assert not bent[1:].any() and not bent[..., 1].any()
    assert math.isclose(springs.item(), 0.02**2 / NODES / 3, rel_tol=1e-5)  # over nodes, views


def test_a_tint_makes_colours_brighter_or_starker_in_its_view_alone():
    warps = Warps(frames=2, views=3)
    colors = torch.rand(5, 3)
    frames, views = torch.tensor([1, 1, 0, 1]), torch.tensor([2, 1, 2, 0])
    tinted, springs = warps.tinted(frames, views, colors)
    torch.testing.assert_close(tinted, colors.expand(4, -1, -1))
    assert springs == 0
    with torch.no_grad():
        warps.tints[1, 2, 0, 0] = 0.1  # more red
        warps.tints[1, 2, 1, 2] = -0.5  # blue half way to the middle
        warps.tints[:, 0] = 0.3
    tinted, springs = warps.tinted(frames, views, colors)
    torch.testing.assert_close(tinted[1:], colors.expand(3, -1, -1))
    red, green, blue = colors.unbind(-1)
    expected = torch.stack([red + 0.1, green, 0.25 + blue / 2], -1)
    torch.testing.assert_close(tinted[0], expected)
    assert math.isclose(springs.item(), (0.1**2 + 0.5**2) / 4, rel_tol=1e-5)  # mean of the views


def test_views_are_bent_where_they_disagree_and_never_against_the_settings():
    agree, disagree = balls(shift=0), balls(shift=14)
    assert not wanted(agree, "auto") and wanted(disagree, "auto")
    assert wanted(agree, "on") and not wanted(disagree, "off")


def test_gradients_reach_the_view_that_was_drawn():
    warps = Warps(frames=2, views=2)
    bent, springs = warps.bent(torch.tensor([1]), torch.tensor([1]), at([(0.2, 0.1)]))
    tinted, more = warps.tinted(torch.tensor([1]), torch.tensor([1]), torch.rand(4, 3))
    (bent.sum() + springs + tinted.square().sum() + more).backward()
    for learned in warps.parameters():
        assert learned.grad[1, 1].abs().sum() > 0
        assert not learned.grad[0].any() and not learned.grad[1, 0].any()


def test_a_rasterizer_that_cannot_bend_says_so():
    views = balls(shift=14)
    assert not wanted(views, "auto", possible=False)
    with pytest.raises(UserError, match="cannot bend"):
        wanted(views, "on", possible=False)
