"""Colours of a frame without the fringe of its old background."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

FRINGE = 1.5  # pixels from the matte's edge within which colours contain the old background


def front_colors(frame: np.ndarray) -> np.ndarray:
    """Colours of a frame without the fringe of its old background, extrapolated outside.

    Pixels near the matte's edge take the colour of the nearest one that is safely inside, unless
    the part is too thin to have one.

    Args:
        frame: [G, G, 4] in [0, 1].

    Returns:
        [G, G, 3] in [0, 1].
    """
    rgb, alpha = frame[..., :3], frame[..., 3]
    inside = alpha > 0.5
    safe = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] > FRINGE
    safe |= inside & (distance_transform_edt(~safe) > 2 * FRINGE)
    if not safe.any():
        return rgb
    nearest = distance_transform_edt(~safe, return_distances=False, return_indices=True)
    return rgb[tuple(nearest)]
