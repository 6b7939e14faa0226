"""The .splat file: its layout, read by its published description."""

from __future__ import annotations

import struct

import pytest
import torch

from ds4d.export.splat import write_splat
from ds4d.splatting.splats import Splats


@pytest.fixture
def rows(tmp_path) -> list[tuple]:
    """A faint small Gaussian and a large opaque one, as 3f 3f 4B 4B."""
    splats = Splats(
        means=torch.tensor([[1.0, 2.0, 3.0], [-4.0, 5.0, -6.0]]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.5, -0.5, 0.5, -0.5]]),
        scales=torch.tensor([[0.01, 0.02, 0.03], [0.1, 0.2, 0.3]]),
        opacities=torch.tensor([0.2, 1.0]),
        colors=torch.tensor([[0.0, 0.5, 1.0], [1.0, 0.2, 0.0]]),
    )
    write_splat(tmp_path / "a.splat", splats)
    data = (tmp_path / "a.splat").read_bytes()
    assert len(data) == 2 * 32
    return list(struct.iter_unpack("<3f3f4B4B", data))


def test_what_covers_most_comes_first(rows):
    assert rows[0][:3] == (-4.0, 5.0, -6.0) and rows[1][:3] == (1.0, 2.0, 3.0)


def test_the_layout_is_that_of_web_viewers(rows):
    assert rows[0][3:6] == pytest.approx((0.1, 0.2, 0.3))  # linear, not logarithms
    assert rows[0][6:10] == (255, 51, 0, 255)
    assert rows[1][9] == 51
    rotation = [(byte - 128) / 128 for byte in rows[0][10:]]
    assert rotation == pytest.approx([0.5, -0.5, 0.5, -0.5], abs=1 / 128)
    assert rows[1][10:] == (255, 128, 128, 128)  # 1 is as near to it as a byte gets
