"""Target images."""

from __future__ import annotations

import numpy as np
import torch

from ds4d.fourd.targets import Targets

CPU = torch.device("cpu")


def test_targets_are_never_larger_than_the_views(scene):
    assert Targets(scene.views, 999, CPU).cameras.width == scene.views.cameras.width
    assert Targets(scene.views, 16, CPU).rgb.shape[1:] == (16, 16, 3)


def test_targets_are_views_over_white(scene):
    targets = Targets(scene.views, 999, CPU)
    selected = targets.select(torch.tensor([3, 0]), torch.tensor([2, 6]))
    for index, (frame, view) in enumerate(((3, 2), (0, 6))):
        image = scene.views.images[frame, view].astype(float)
        alpha = image[..., 3:] / 255
        over_white = alpha * image[..., :3] + 255 * (1 - alpha)
        assert np.abs(selected.rgb[index].numpy() - over_white).max() <= 1
        assert (selected.alpha[index].numpy() == image[..., 3:]).all()
    assert (selected.as_floats(torch.float32)[0] <= 1).all() and targets.included.all()
