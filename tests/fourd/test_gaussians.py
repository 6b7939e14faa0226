"""Gaussians: interpolation between frames, and colours that change over time."""

from __future__ import annotations

import pytest
import torch

from ds4d.fourd.gaussians import SH_C0, Offsets, from_points, snapshot


def test_between_two_frames_near_gaussians_glide_and_far_ones_jump():
    still = torch.zeros(1, 2, 3)
    moved = torch.tensor([[[0.02, 0, 0], [0.5, 0, 0]]])
    quats, later = torch.zeros(1, 2, 4), torch.ones(1, 2, 4)
    before, after = Offsets(still, still, quats), Offsets(moved, moved, later)
    for share, glided, jumped in ((0.25, 0.005, 0.0), (0.75, 0.015, 0.5)):
        means = before.interpolate(after, share).means[0, :, 0]
        assert means.tolist() == pytest.approx([glided, jumped])
    torch.testing.assert_close(before.interpolate(after, 1.0).quats, later)


def test_colours_change_linearly_between_knots():
    gaussians = from_points(torch.rand(5, 3), torch.full((5, 3), 0.5), knots=3)
    gaussians.sh0_knots[:] = torch.tensor([0.0, 0.4, 0.2])[:, None] / SH_C0
    offsets = gaussians.sh0_offsets(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))
    changes = gaussians.colors(offsets)[:, 0, 0] - 0.5
    torch.testing.assert_close(changes, torch.tensor([0.0, 0.2, 0.4, 0.3, 0.2]))


def test_a_far_gaussian_takes_its_new_colour_when_it_jumps():
    gaussians = from_points(torch.rand(4, 3), torch.full((4, 3), 0.5), knots=2)
    gaussians.sh0_knots[:, 1] = 0.4 / SH_C0
    still, quats = torch.zeros(1, 4, 3), torch.zeros(1, 4, 4)
    moved = torch.tensor([0.0, 0.02, 0.5, 0.5])[None, :, None].expand(1, 4, 3)
    first, last = gaussians.sh0_offsets(torch.tensor([0.0, 1.0])).split(1)
    before, after = Offsets(still, still, quats, first), Offsets(moved, still, quats, last)
    shown = snapshot(gaussians, before.interpolate(after, 0.25), antialiased=True).colors[:, 0]
    torch.testing.assert_close(shown, torch.tensor([0.6, 0.6, 0.5, 0.5]))


def test_without_knots_colours_are_constant():
    assert from_points(torch.rand(5, 3), torch.rand(5, 3)).sh0_offsets(torch.zeros(2)) is None
