"""HDR and wide gamuts of videos become sRGB."""

from __future__ import annotations

import numpy as np
import pytest

from ds4d.clip.colors import BT709, BT2020, HLG, P3_D65, PQ, UNSPECIFIED, Tags, matrix, to_srgb


def pq(nits: float) -> int:
    """Value of 16 bits that PQ has for a luminance (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (nits / 10000) ** m1
    return round(65535 * ((c1 + c2 * power) / (1 + c3 * power)) ** m2)


def shown(values: list[int], transfer: int, primaries: int = BT2020) -> np.ndarray:
    image = np.array([[values]], np.uint16)
    return to_srgb(image, Tags(UNSPECIFIED, transfer, primaries))[0, 0].astype(int)


def test_reference_white_is_white_and_highlights_are_whiter():
    white = shown([pq(203)] * 3, PQ)
    assert white.min() >= 225 and np.ptp(white) <= 1
    assert white[0] < shown([pq(600)] * 3, PQ)[0] <= shown([pq(4000)] * 3, PQ)[0] <= 255
    assert abs(shown([round(0.75 * 65535)] * 3, HLG) - white).max() <= 2


@pytest.mark.parametrize("level", [20, 100, 180])
def test_what_is_darker_keeps_the_value_that_it_has_in_sdr(level):
    nits = 203 * (level / 255) ** 2.4
    assert abs(shown([pq(nits)] * 3, PQ) - level).max() <= 1


def test_black_and_the_largest_values_stay_in_range():
    for transfer in (PQ, HLG, BT709):
        assert shown([0] * 3, transfer).max() <= 1
        assert shown([65535, 0, 65535], transfer).max() <= 255


def test_grey_of_a_wide_gamut_stays_and_its_colours_become_stronger():
    grey = shown([30000] * 3, BT709, P3_D65)
    assert np.ptp(grey) <= 1 and abs(grey[0] - 30000 / 257) <= 1
    red, green, blue = shown([50000, 25000, 15000], BT709, P3_D65)
    assert red > 50000 / 257 and blue < 15000 / 257


def test_untagged_videos_have_the_matrix_that_browsers_take():
    untagged = Tags(UNSPECIFIED, UNSPECIFIED, UNSPECIFIED)
    assert matrix(untagged, 720) == "bt709" and matrix(untagged, 576) == "auto"
    assert matrix(Tags(6, UNSPECIFIED, UNSPECIFIED), 1080) == "auto"  # as tagged
    assert matrix(Tags(UNSPECIFIED, HLG, UNSPECIFIED), 480) == "bt2020"
