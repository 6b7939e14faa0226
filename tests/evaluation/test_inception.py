"""The network of the FID, and how frames are shown to it."""

from __future__ import annotations

import torch

from ds4d.evaluation.inception import CLASSES, Inception
from ds4d.evaluation.networks import resized_as_tensorflow


def test_names_and_shapes_are_those_of_the_published_file():
    state = Inception().state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert shapes["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert shapes["Conv2d_1a_3x3.bn.running_var"] == (32,)
    assert shapes["Mixed_6b.branch7x7dbl_5.conv.weight"] == (192, 128, 1, 7)
    assert shapes["Mixed_7c.branch_pool.conv.weight"] == (192, 2048, 1, 1)
    assert shapes["fc.weight"] == (CLASSES, 2048)
    floats = sum(value.numel() for name, value in state.items() if "tracked" not in name)
    assert 95_628_359 - 200_000 < 4 * floats < 95_628_359  # the file, less its names


def test_averages_leave_out_the_padding():
    from ds4d.evaluation.inception import _averaged

    assert (_averaged(torch.ones(1, 1, 4, 4)) == 1).all()


def test_images_are_resized_from_the_upper_left_corner_of_pixels():
    """A literal transcription of TensorFlow 1: no half pixels, the last one repeats."""
    image = torch.tensor([[0.0, 10, 30]])[None, None].expand(1, 1, 2, 3)
    row = resized_as_tensorflow(image, 6)[0, 0, 0]
    torch.testing.assert_close(row, torch.tensor([0.0, 5, 10, 20, 30, 30]))
