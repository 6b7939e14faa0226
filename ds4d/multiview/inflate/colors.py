"""Colours of the first surface: those of the frame, as far as it shows them well."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

FRINGE = 1.5  # pixels from the matte's edge within which colours contain the old background
STEEP = 1.5  # slope of a surface, depth by width, that the frame shows half as well


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


def side_colors(
    front: np.ndarray,  # [G, G, 3] colours of the first surface
    back: np.ndarray,  # [G, G, 3] and of the last one
    depths: np.ndarray,  # [G, G] of the first surface, widths of the frame
) -> np.ndarray:
    """Colours [G, G, 3] of the first surface whose steep parts have the last one's.

    There, single pixels of the frame would be drawn out to streaks.
    """
    slopes = np.hypot(*np.gradient(len(depths) * depths))[..., None]
    share = 1 / (1 + (slopes / STEEP) ** 2)
    return share * front + (1 - share) * back
