"""Mattes over time: what hangs together, what is dropped, what is out of line."""

from __future__ import annotations

import numpy as np
import pytest

from ds4d.clip import named_frames
from ds4d.matting.cleanup import cleaned, jumps


def body(count: int = 6, height: int = 60, width: int = 80) -> np.ndarray:
    alphas = np.zeros((count, height, width), np.uint8)
    alphas[:, 20:45, 30:50] = 255
    alphas[:, 19, 30:50] = 40  # its soft edge
    return alphas


def test_a_clean_matte_stays_as_it_is():
    np.testing.assert_array_equal(cleaned(body()), body())
    np.testing.assert_array_equal(cleaned(np.zeros_like(body())), np.zeros_like(body()))


def test_haze_and_specks_go_and_soft_parts_that_touch_stay():
    alphas = body()
    alphas[:, 2:8, 2:30] = 60  # haze
    alphas[3, 50:55, 60:66] = 255  # a speck with a soft rim, in one frame
    alphas[3, 49, 60:66] = 90
    alphas[:, 30, 50:75] = 100  # a hair
    expected = body()
    expected[:, 30, 50:75] = 100
    np.testing.assert_array_equal(cleaned(alphas), expected)


def test_a_speck_goes_though_haze_joins_it_to_the_body():
    alphas = body()
    alphas[3, 45:60, 40] = 60
    alphas[3, 54:58, 38:44] = 255
    result = cleaned(alphas)
    assert not result[3, 53:59, 36:46].any()
    np.testing.assert_array_equal(result[:, :45], alphas[:, :45])


def test_large_mattes_keep_every_pixel_of_their_edges():
    alphas = np.zeros((2, 1300, 900), np.uint8)
    y, x = np.mgrid[:1300, :900]
    alphas[:] = (400 - np.hypot(y - 600, x - 450)).clip(0, 1) * 255
    alphas[1, 1200:1216, 40:56] = 255
    expected = alphas.copy()
    expected[1, 1200:1216, 40:56] = 0
    np.testing.assert_array_equal(cleaned(alphas), expected)


@pytest.mark.parametrize("wrong", [0, 1, 5, 8])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_frame_whose_area_jumps_is_found(wrong, factor):
    sides = 40 * 1.02 ** np.arange(9)
    sides[wrong] *= np.sqrt(factor)
    alphas = np.zeros((9, 100, 100), np.uint8)
    for alpha, side in zip(alphas, sides.round().astype(int), strict=True):
        alpha[:side, :side] = 255
    assert jumps(alphas).tolist() == [wrong]


def test_growing_shrinking_and_missing_frames_are_no_jumps():
    alphas = np.zeros((12, 100, 100), np.uint8)
    for index, alpha in enumerate(alphas):
        alpha[: 30 + 5 * index, :40] = 255
    alphas[4] = 0
    assert jumps(alphas).tolist() == jumps(alphas[:2]).tolist() == []


def test_numbers_for_a_person():
    assert named_frames(np.array([2])) == "frame 3"
    assert named_frames(np.array([0, 4])) == "frames 1, 5"
