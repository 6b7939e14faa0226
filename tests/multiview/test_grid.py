"""Overview image of the six views."""

from __future__ import annotations

import numpy as np

from ds4d.multiview.grid import BORDER_COLOR, grids
from ds4d.multiview.outliers import Flag


def test_views_are_in_reading_order_and_a_flagged_one_has_a_border():
    images = np.full((2, 7, 40, 40, 4), 255, np.uint8)
    images[..., 0] = np.arange(7)[None, :, None, None] * 30
    plain, marked = grids(images, [Flag(frame=1, view=5, reason="another shape")])
    assert plain.shape == (80, 120, 3)
    centres = plain[20::40, 20::40, 0]
    np.testing.assert_array_equal(centres, [[30, 60, 90], [120, 150, 180]])
    changed = (marked != plain).any(-1)
    assert changed[40:, 40:80].any() and changed.sum() == changed[40:, 40:80].sum()
    assert tuple(marked[40, 40]) == BORDER_COLOR
    assert not changed[45:75, 45:75].any()  # the view itself can still be seen
