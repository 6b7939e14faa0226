"""The six views of every frame as one picture, with the doubtful ones framed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..images import over, tile
from .outliers import Flag

COLUMNS = 3
FRAME_COLOR = (228, 86, 42)
FRAME_WIDTH = 0.02  # of a view's side


def grids(
    images: np.ndarray,  # [T, V, S, S, 4] uint8 RGBA, view 0 is the front
    flags: Sequence[Flag] = (),
) -> list[np.ndarray]:  # T pictures [H, W, 3] uint8
    """Three columns of views per frame, over white; a flagged view wears a frame."""
    return [
        _grid(views, {flag.view for flag in flags if flag.frame == frame})
        for frame, views in enumerate(images)
    ]


def _grid(views: np.ndarray, doubtful: set[int]) -> np.ndarray:
    pictures = over(views[1:])
    width = max(1, round(FRAME_WIDTH * pictures.shape[1]))
    for view in doubtful:
        inside = pictures[view - 1, width:-width, width:-width].copy()
        pictures[view - 1] = FRAME_COLOR
        pictures[view - 1, width:-width, width:-width] = inside
    return tile(pictures, columns=COLUMNS)
