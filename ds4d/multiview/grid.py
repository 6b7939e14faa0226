"""Overview image of the six views of a frame, with outliers marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..images import over, tile
from .outliers import Flag

COLUMNS = 3
BORDER_COLOR = (228, 86, 42)
BORDER_WIDTH = 0.02  # of a view's side


def grids(
    images: np.ndarray,  # [T, V, S, S, 4] uint8 RGBA, view 0 is the front
    flags: Sequence[Flag] = (),
) -> list[np.ndarray]:
    """Tile the views of each frame in three columns over white; flagged views get a border.

    Returns:
        T images [H, W, 3] uint8.
    """
    return [
        _grid(views, {flag.view for flag in flags if flag.frame == frame})
        for frame, views in enumerate(images)
    ]


def _grid(views: np.ndarray, flagged: set[int]) -> np.ndarray:
    """Tile all views [V, S, S, 4] but the front, with a border around the flagged ones."""
    tiles = over(views[1:])
    width = max(1, round(BORDER_WIDTH * tiles.shape[1]))
    for view in flagged:
        inside = tiles[view - 1, width:-width, width:-width].copy()
        tiles[view - 1] = BORDER_COLOR
        tiles[view - 1, width:-width, width:-width] = inside
    return tile(tiles, columns=COLUMNS)
