"""Files of the views of a run."""

from __future__ import annotations

import numpy as np

from ds4d.cameras import rig_cameras
from ds4d.multiview.views import join, load_views, save_views


def test_views_are_saved_and_loaded(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 4, 4, 4), dtype=np.uint8)
    save_views(tmp_path, images)
    (tmp_path / "confidence.npz").touch()  # runs of earlier versions have one
    np.testing.assert_array_equal(load_views(tmp_path), images)


def test_the_front_is_view_0():
    fronts, others = np.zeros((2, 8, 8, 4), np.uint8), np.ones((2, 6, 8, 8, 4), np.uint8)
    views = join(fronts, others, rig_cameras(8))
    assert views.images.shape == (2, 7, 8, 8, 4)
    np.testing.assert_array_equal(views.images[:, 0], fronts)
    np.testing.assert_array_equal(views.images[:, 1:], others)
