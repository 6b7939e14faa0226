"""Visualization of features by their principal components."""

from __future__ import annotations

import numpy as np
import torch

from ds4d.features.pca import PCAColors


def test_colours_tell_parts_apart_and_stay_over_time():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 8, 8, 5, generator=generator) * 0.01
    features[:, :4, :, 2] += 1  # the upper half is another part
    images = np.full((1, 16, 16, 4), 255, np.uint8)
    images[:, :, 12:, 3] = 0
    colors = PCAColors.fit(features, images)
    now, later = colors.render(features, images), colors.render(features + 0.001, images)
    cells = now[2::4, 2::4].astype(int)[:, :8]
    assert np.abs(cells[0, 0] - cells[7, 0]).max() > 150
    assert (cells[:, 6:] == 255).all()
    assert np.abs(later.astype(int) - now).max() < 60
