"""Files of the views of a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ds4d.cameras import Similarity, rig_cameras
from ds4d.images import save_images
from ds4d.multiview.views import Views, join, load_views


def views_of(generator: np.random.Generator, **options) -> Views:
    """Two frames of noise from the rig's seven cameras."""
    images = generator.integers(0, 256, (2, 7, 8, 8, 4), dtype=np.uint8)
    return Views(images, rig_cameras(8), **options)


@pytest.mark.parametrize("transform", [
    None, Similarity(0.5, torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)),
])  # fmt: skip
def test_views_of_a_run_are_loaded_as_they_were_saved(tmp_path, transform):
    views = views_of(np.random.default_rng(0), capture_to_world=transform)
    save_images(tmp_path / "frames", views.images[:, 0])
    views.save(tmp_path / "multiview")
    (tmp_path / "multiview/confidence.npz").touch()  # runs of earlier versions have one
    loaded = load_views(tmp_path)
    np.testing.assert_array_equal(loaded.images, views.images)
    torch.testing.assert_close(loaded.cameras.viewmats, views.cameras.viewmats)
    if transform is None:
        assert loaded.capture_to_world is None
    else:
        torch.testing.assert_close(loaded.capture_to_world.centre, transform.centre)


def test_the_front_is_view_0():
    fronts, others = np.zeros((2, 8, 8, 4), np.uint8), np.ones((2, 6, 8, 8, 4), np.uint8)
    views = join(fronts, others, rig_cameras(8))
    assert views.images.shape == (2, 7, 8, 8, 4)
    np.testing.assert_array_equal(views.images[:, 0], fronts)
    np.testing.assert_array_equal(views.images[:, 1:], others)
