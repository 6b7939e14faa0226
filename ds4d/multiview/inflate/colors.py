"""Colours of the surfaces: those of the frame, as far as it shows them well, and hidden ones."""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.sparse import csr_array, diags_array, vstack
from scipy.sparse.linalg import splu
from skimage.morphology import reconstruction

FRINGE = 1.5  # pixels from the matte's edge within which colours contain the old background
STEEP = 1.5  # slope of a surface, depth by width, that the frame shows half as well
ISLAND_GRID = 96  # pixels along a side of the pictures in which islands are found
NEAR = 6  # of these pixels: as far around each pixel of the rim, its colours count
AROUND = np.ones((3, 3), np.uint8)  # a pixel and its neighbours
CHANGED = 0.03  # in a channel, from which on a pixel belongs to an island
SIDEWAYS = 6.0  # weight of differences from side to side, against those from top to bottom
FIXED, LOOSE = 100.0, 1e-6  # weight of a colour that is known, and of one that is not


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
    of the head, a belly one on the back. Their places take the colours around them, above all those
    beside them: an object's colours change more often from top to bottom than from side to side.
    """
    size = min(len(inside), ISLAND_GRID)
    cover = cv2.resize(inside.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    small = cv2.resize(colors * inside[..., None], (size, size), interpolation=cv2.INTER_AREA)
    small /= np.maximum(cover, 1e-4)[..., None]
    within = cover > 0.5
    islands = _islands(small, within)
    if islands[within].all():
        return colors
    change = np.zeros_like(small)
    change[within] = _spread(small[within], within, islands[within]) - small[within]
    change = cv2.resize(change, inside.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return (colors + change).clip(0, 1)


def _islands(colors: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Pixels [H, W] bool of patches within a silhouette [H, W].

    In each channel of colours [H, W, 3], hollows and then peaks are filled by reconstruction
    (Vincent 1993) from the rim, where patches that are short along it are evened out, too. What
    this changes is an island.
    """
    rim = within & (cv2.erode(within.astype(np.uint8), AROUND) == 0)
    if not rim.any():
        return within
    filled = colors.copy()
    for channel, around in zip(np.moveaxis(filled, 2, 0), _medians(colors, rim), strict=True):
        for sign in (1, -1):
            walls = np.where(within, sign * channel, 2.0)  # 2: no way leads outside
            seeds = np.full_like(walls, 2.0)
            seeds[rim] = np.maximum(walls[rim], sign * around)
            channel[:] = sign * reconstruction(seeds, walls, "erosion")
    changed = within & (np.abs(filled - colors).max(2) > CHANGED)
    return within & (cv2.dilate(changed.astype(np.uint8), AROUND) > 0)


def _spread(colors: np.ndarray, within: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of the N pixels within a silhouette [H, W], those of unknown [N] ones as
    smooth as possible between the others."""
    index = np.full(within.shape, -1)
    index[within] = np.arange(len(colors))
    differences = []
    for weight, a, b in ((SIDEWAYS, index[:, :-1], index[:, 1:]), (1.0, index[:-1], index[1:])):
        both = (a >= 0) & (b >= 0)
        ends = np.stack([a[both], b[both]], 1).ravel()
        signs = np.tile([math.sqrt(weight), -math.sqrt(weight)], both.sum())
        rows = np.repeat(np.arange(both.sum()), 2)
        differences.append(csr_array((signs, (rows, ends)), (both.sum(), len(colors))))
    gradient = vstack(differences)
    kept = np.where(unknown, LOOSE, FIXED)
    return splu((gradient.T @ gradient + diags_array(kept)).tocsc()).solve(kept[:, None] * colors)


def _medians(colors: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """Medians [3, M] of the rim's colours around each of its M pixels."""
    places = np.argwhere(rim)
    far = ((places[:, None] - places) ** 2).sum(-1) > NEAR**2
    around = np.where(far, np.nan, colors[rim].T[:, None])  # [3, M, M]
    return np.nanmedian(around, axis=2)
