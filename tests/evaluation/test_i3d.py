"""The network of FVD."""

from __future__ import annotations

import pytest
import torch

from ds4d.evaluation.i3d import CLASSES, I3D, _padded
from tests.fakes import judges


@pytest.fixture(scope="module")
def narrow() -> I3D:
    torch.manual_seed(0)
    return judges.narrow_i3d().eval()


def test_names_and_shapes_are_those_of_the_published_file():
    state = I3D().state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert shapes["Conv3d_1a_7x7.conv3d.weight"] == (64, 3, 7, 7, 7)
    assert shapes["Conv3d_1a_7x7.bn.running_var"] == (64,)
    assert shapes["Mixed_3b.b1b.conv3d.weight"] == (128, 96, 3, 3, 3)
    assert shapes["Mixed_5c.b3b.conv3d.weight"] == (128, 832, 1, 1, 1)
    assert shapes["logits.conv3d.weight"] == (400, 1024, 1, 1, 1)
    assert shapes["logits.conv3d.bias"] == (400,)
    count = sum(value.numel() for name, value in state.items() if "running" not in name
                and "tracked" not in name)  # fmt: skip
    assert count == 12_697_264  # parameters of I3D for RGB with 400 classes


def test_logits_depend_on_the_order_of_the_frames(narrow):
    video = torch.rand(1, 3, 10, 224, 224) * 2 - 1
    with torch.inference_mode():
        forward, backward = narrow(video), narrow(video.flip(2))
    assert forward.shape == (1, CLASSES)
    assert (forward - backward).abs().max() > 1e-4 * forward.abs().max()


@pytest.mark.parametrize(
    ("length", "size", "stride", "pads"),
    [
        (224, 7, 2, (2, 3)), (9, 3, 2, (1, 1)), (8, 2, 2, (0, 0)), (9, 2, 2, (0, 1)),
        (5, 3, 1, (1, 1)),
    ],
)  # fmt: skip
def test_padding_is_that_of_tensorflow(length, size, stride, pads):
    line = torch.ones(1, 1, 1, 1, length)
    padded = _padded(line, (1, 1, size), (1, 1, stride))[0, 0, 0, 0]
    before, after = pads
    assert padded.tolist() == [0] * before + [1] * length + [0] * after
