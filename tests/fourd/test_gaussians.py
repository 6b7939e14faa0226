"""Gaussians: interpolation between frames."""

from __future__ import annotations

import pytest
import torch

from ds4d.fourd.gaussians import Offsets


def test_between_two_frames_near_gaussians_glide_and_far_ones_jump():
    still = torch.zeros(1, 2, 3)
    moved = torch.tensor([[[0.02, 0, 0], [0.5, 0, 0]]])
    quats, later = torch.zeros(1, 2, 4), torch.ones(1, 2, 4)
    before, after = Offsets(still, still, quats), Offsets(moved, moved, later)
    for share, glided, jumped in ((0.25, 0.005, 0.0), (0.75, 0.015, 0.5)):
        means = before.interpolate(after, share).means[0, :, 0]
        assert means.tolist() == pytest.approx([glided, jumped])
    torch.testing.assert_close(before.interpolate(after, 1.0).quats, later)
