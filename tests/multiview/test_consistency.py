"""Visual-hull consistency of renders, shifted renders and incomplete ones."""

from __future__ import annotations

import numpy as np
import torch

from ds4d.cameras import rig_cameras
from ds4d.multiview.consistency import disagreement
from ds4d.multiview.views import Views
from ds4d.splatting.splats import Splats, render

SIZE = 128


def blobs() -> np.ndarray:
    """Two balls in seven views, [1, V, S, S, 4]."""
    means = torch.tensor([[-0.2, 0.1, 0.0], [0.2, 0.0, 0.15]])
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(2, 1)
    splats = Splats(means, quats, torch.full((2, 3), 0.1), torch.ones(2), torch.ones(2, 3))
    rgb, alpha, _ = render(splats, rig_cameras(SIZE))
    return (torch.cat([rgb, alpha], -1).clamp(0, 1) * 255).byte().numpy()[None]


def of(images: np.ndarray) -> float:
    return disagreement(Views(images, rig_cameras(SIZE)))


def test_renders_of_one_object_agree():
    assert of(blobs()) < 0.002


def test_disagreement_grows_with_the_shift_of_views():
    found = []
    for pixels in (0, 6, 9, 12):
        images = blobs()
        images[:, 2::2] = np.roll(images[:, 2::2], pixels, axis=3)
        found.append(of(images))
    assert found == sorted(found) and found[2] > 0.005 and found[-1] > 0.1


def test_a_view_that_lacks_a_part_disagrees():
    images = blobs()
    images[:, 3, :, SIZE // 2 :] = 0
    assert of(images) > 0.05


def test_empty_views_do_not_disagree():
    assert of(np.zeros((2, 7, 32, 32, 4), np.uint8)) == 0
