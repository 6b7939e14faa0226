"""Drawing of held-out objects, and measures of mattes."""

from __future__ import annotations

import numpy as np

from benchmarks import matting
from training.shape_prior.assets import Asset

SIZE = 64


def cube(height: float, atlas: np.ndarray | None = None) -> Asset:
    """A box of a height, whose eight moments rise by a tenth of its width each; red or textured."""
    corners = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    corners = (corners - 0.5) * (0.2, 0.2, height)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([f for a, b, c, d in sides for f in ((a, b, c), (a, c, d))])
    textured = atlas is not None
    return Asset(
        name="cube", category="object", about={"repo": "here", "path": "cube"},
        poses=np.stack([corners + (0, 0, 0.02 * t) for t in range(8)]).astype(np.float32), clips=1,
        faces=faces, face_colors=np.tile(np.uint8([255, 255, 255] if textured else [250, 0, 0]),
                                         (12, 1)),
        uvs=np.full((8, 2), 0.25, np.float32) if textured else None,
        face_cells=np.full(12, 3) if textured else None, atlas=atlas, cells=2 if textured else 0,
    )  # fmt: skip


def test_a_clip_is_whole_and_moves():
    colors, opacity = matting._drawn(cube(0.5), SIZE, 1)
    assert colors.shape == (8, SIZE, SIZE, 3) and opacity.shape == (8, SIZE, SIZE)
    border = np.ones((SIZE, SIZE), bool)
    border[2:-2, 2:-2] = False
    assert not opacity[:, border].any() and (opacity.sum(axis=(1, 2)) > 0.05 * SIZE**2).all()
    assert ((opacity > 0) & (opacity < 1)).any()  # soft edges
    rows = (opacity.sum(axis=2) * np.arange(SIZE)).sum(axis=1) / opacity.sum(axis=(1, 2))
    assert (np.diff(rows) < 0).all()  # upwards
    solid = colors[opacity == 1]
    assert (solid[:, 0] > 100).all() and not solid[:, 1:].any()


def test_a_texture_is_looked_up_in_the_face_s_cell():
    atlas = np.zeros((8, 8, 3), np.uint8)
    atlas[4:, 4:] = (0, 200, 100)  # the last of four cells
    colors, opacity = matting._drawn(cube(0.5, atlas), SIZE, 1)
    solid = colors[opacity == 1]
    assert not solid[:, 0].any()
    np.testing.assert_allclose(solid[:, 1], 2 * solid[:, 2], rtol=0.02)


def test_a_lost_limb_counts_for_thin_parts_more_than_for_all():
    truth = np.zeros((1, 200, 200), np.float32)
    truth[:, 40:120, 60:140] = 1
    truth[:, 120:180, 80:84] = 1  # a leg
    lost = truth.copy()
    lost[:, 120:] = 0
    assert matting._iou(lost, truth)[0] > 0.95
    assert matting._thin_iou(truth, truth) == 1
    assert matting._thin_iou(lost, truth) < 0.1
    block = np.zeros_like(truth)
    block[:, 40:120, 60:140] = 1
    assert matting._thin_iou(block, block) is None
