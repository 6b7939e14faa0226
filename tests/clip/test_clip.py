"""Clips are saved and loaded as they were."""

from __future__ import annotations

import numpy as np

from ds4d import clip
from tests.clip.clips import moving, read, save_images


def test_a_clip_is_saved_and_loaded(tmp_path):
    before = read(save_images(tmp_path / "shots", moving(alpha=True)))
    (tmp_path / "run").mkdir()
    clip.save(tmp_path / "run", before)
    after = clip.load(tmp_path / "run")
    for name in ("frames", "positions", "indices"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert (after.fps, after.prepared, after.warnings) == (None, False, ())
