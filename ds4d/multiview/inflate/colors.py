"""Colours of the surfaces: those of the frame, as far as it shows them well, and hidden ones."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.morphology import reconstruction

FRINGE = 1.5  # pixels from the matte's edge within which colours contain the old background
STEEP = 1.5  # slope of a surface, depth by width, that the frame shows half as well
ISLAND_GRID = 96  # pixels along a side of the pictures in which islands are found
NEAR = 12  # of these pixels: as far around each pixel of the rim, its colours count


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


def without_islands(
    colors: np.ndarray,  # [G, G, 3] in [0, 1]
    inside: np.ndarray,  # [G, G] bool, the silhouette
) -> np.ndarray:
    """Hidden colours [G, G, 3] without patches that another colour surrounds.

    The prior's hidden colours follow the front's, faintly: eyes and mouth are patches on the back
    of the head. In each channel, hollows and then peaks within the silhouette are filled by
    reconstruction (Vincent 1993) from its rim, where patches that are short along it are evened
    out, too.
    """
    size = min(len(inside), ISLAND_GRID)
    cover = cv2.resize(inside.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    small = cv2.resize(colors * inside[..., None], (size, size), interpolation=cv2.INTER_AREA)
    small /= np.maximum(cover, 1e-4)[..., None]
    within = cover > 0.5
    rim = within & (cv2.erode(within.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    if not rim.any():
        return colors
    filled = small.copy()
    for channel, around in zip(np.moveaxis(filled, 2, 0), _medians(small, rim), strict=True):
        for sign in (1, -1):
            walls = np.where(within, sign * channel, 2.0)  # 2: no way leads outside
            seeds = np.full_like(walls, 2.0)
            seeds[rim] = np.maximum(walls[rim], sign * around)
            channel[:] = sign * reconstruction(seeds, walls, "erosion")
    change = np.where(within[..., None], filled - small, 0.0).astype(np.float32)
    change = cv2.resize(change, inside.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return (colors + change).clip(0, 1)


def _medians(colors: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """Medians [3, M] of the rim's colours around each of its M pixels."""
    places = np.argwhere(rim)
    far = ((places[:, None] - places) ** 2).sum(-1) > NEAR**2
    around = np.where(far, np.nan, colors[rim].T[:, None])  # [3, M, M]
    return np.nanmedian(around, axis=2)
