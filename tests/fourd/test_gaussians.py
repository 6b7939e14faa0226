"""Gaussians: interpolation between frames, colours that change over time, and starts."""

from __future__ import annotations

import pytest
import torch

from ds4d.cameras import orbit_cameras
from ds4d.fourd.gaussians import SH_C0, Offsets, from_points, from_splats, snapshot, thinned
from ds4d.splatting.splats import Splats, render


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


def sheet(count: int, opacity: float = 0.9) -> Splats:
    """Flat Gaussians side by side on a square of side one."""
    side = round(count**0.5)
    places = (torch.arange(side) + 0.5) / side - 0.5
    x, z = torch.meshgrid(places, places, indexing="ij")
    means = torch.stack([x.flatten(), torch.zeros(count), z.flatten()], -1)
    scales = torch.tensor([0.6 / side, 0.001, 0.6 / side]).expand(count, 3)
    quats = torch.tensor([1.0, 0, 0, 0]).expand(count, 4)
    return Splats(means, quats, scales, torch.full((count,), opacity), torch.rand(count, 3))


def test_a_thinned_start_covers_what_all_its_gaussians_did():
    generator, camera = torch.Generator().manual_seed(0), orbit_cameras([0.0], size=64)
    whole = sheet(48**2)
    few = thinned(whole, 400, generator)
    assert len(few) == 400
    _, alpha, _ = render(whole, camera)
    _, covered, _ = render(few, camera)
    assert covered[alpha > 0.8].mean() > 0.75
    assert len(thinned(whole, 10_000, generator)) == len(whole)


def test_faint_gaussians_are_no_start():
    assert len(thinned(sheet(16, opacity=0.04), 100, torch.Generator())) == 0


def test_a_start_from_gaussians_looks_like_them():
    whole = sheet(16)
    gaussians = from_splats(whole, knots=2)
    still = Offsets(torch.zeros(1, 16, 3), torch.zeros(1, 16, 3), torch.zeros(1, 16, 4))
    shown = snapshot(gaussians, still, antialiased=False)
    for name, tensor in whole.tensors().items():
        torch.testing.assert_close(shown.tensors()[name], tensor, atol=1e-5, rtol=1e-4)
    assert gaussians.sh0_knots.shape == (16, 2, 3)
