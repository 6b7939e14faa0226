"""The bundled picture becomes a clip by the puppet."""

from __future__ import annotations

from dataclasses import replace

import imageio.v3 as iio

from examples import make_pictures


def test_a_picture_is_drawn_and_moved(tmp_path):
    small = replace(make_pictures.MOTION, frames=4, size=96)
    make_pictures.make(tmp_path, size=96, samples=1, motion=small)
    picture = iio.imread(tmp_path / "pictures/penguin.jpg")
    clip = list(iio.imiter(tmp_path / "clips/penguin.webp"))
    assert picture.shape == (96, 96, 3) and {frame.shape for frame in clip} == {(96, 96, 4)}
    red = (picture[..., 0] > 180) & (picture[..., 1] < 110)
    assert red.mean() > 0.01  # the scarf
    assert (clip[0] != clip[1]).any()
