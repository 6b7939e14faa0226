"""The colours of an inflated object: what the frame shows, and what it hides."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

RIM = 1.5  # colours this close to the matte's edge are not trusted, pixels
PALETTE = 8  # dominant colours of a clip
ALIKE = 0.15  # distance of colours that support each other, standard deviation in RGB
REACH = 1.4  # how far around a hidden point its colour is sought, in its distances from the middle
CELL = 4  # side of the cells in which the hidden side's colours are sought, pixels
SCALES = 4  # reaches from one cell to 2^(SCALES - 1) cells


def front_colors(frame: np.ndarray) -> np.ndarray:
    """The frame's colours without the fringe of its old background, continued outside.

    [G, G, 4] in [0, 1] -> [G, G, 3]: pixels at the matte's edge take the colour of the nearest
    pixel that is safely inside, unless the part is too thin to have one.
    """
    rgb, alpha = frame[..., :3], frame[..., 3]
    inside = alpha > 0.5
    safe = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] > RIM
    safe |= inside & (distance_transform_edt(~safe) > 2 * RIM)
    if not safe.any():
        return rgb
    nearest = distance_transform_edt(~safe, return_distances=False, return_indices=True)
    return rgb[tuple(nearest)]


def palette(frames: np.ndarray) -> np.ndarray:
    """Dominant colours [K, 3] of a clip [T, G, G, 4] in [0, 1], by k-means; deterministic."""
    pixels = frames[frames[..., 3] > 0.9][:, :3].astype(np.float32)
    pixels = pixels[:: max(1, len(pixels) // 5000)]
    if len(pixels) < PALETTE:
        return np.full((1, 3), 0.5, np.float32)
    rank = pixels.sum(1).argsort(kind="stable").argsort(kind="stable")
    labels = (rank * PALETTE // len(pixels)).astype(np.int32)  # start: equal shares by brightness
    criteria = (cv2.TERM_CRITERIA_MAX_ITER, 20, 0.0)
    return cv2.kmeans(pixels, PALETTE, labels, criteria, 1, cv2.KMEANS_USE_INITIAL_LABELS)[2]


def regional_colors(
    front: np.ndarray,  # [G, G, 3] front colours, continued outside the silhouette
    inside: np.ndarray,  # [G, G] bool
    palette: np.ndarray,  # [K, 3]
) -> np.ndarray:
    """The colours that prevail around each pixel, in regions that double: [SCALES, G * G, 3].

    Every pixel votes for its colour of the palette, with its own shade of it; the majority wins,
    so that marks such as eyes are forgotten.
    """
    size = len(front)
    nearest = ((front[..., None, :] - palette) ** 2).sum(-1).argmin(-1)
    votes = (nearest[..., None] == np.arange(len(palette))) & inside[..., None]  # [G, G, K]
    shades = votes[..., None] * front[:, :, None]
    ballots = np.concatenate([votes[..., None], shades], -1).reshape(size, size, -1)
    cells = -(-size // CELL)
    ballots = cv2.resize(ballots.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA)
    blurred = (cv2.GaussianBlur(ballots, (0, 0), 2.0**level) for level in range(SCALES))
    levels = np.stack([cv2.resize(_prevailing(b, palette), (size, size)) for b in blurred])
    return levels.reshape(SCALES, -1, 3)


def front_side(
    front: np.ndarray,  # [G, G, 3]
    regional: np.ndarray,  # [SCALES, G * G, 3]
    at: np.ndarray,  # [M] flat pixel indices
    share: np.ndarray,  # [M] 1 = on the pixel's surface, 0 = at the middle below it
) -> np.ndarray:
    """Colours [M, 3] of the front: the frame's own, along the walls less and less streaked."""
    share = share[:, None]
    return share * front.reshape(-1, 3)[at] + (1 - share) * regional[0, at]


def back_side(
    regional: np.ndarray,  # [SCALES, G * G, 3]
    at: np.ndarray,  # [M] flat pixel indices
    height: np.ndarray,  # [M] distance behind the middle surface, pixels
) -> np.ndarray:
    """Plausible colours [M, 3] for what is never seen: the ones that prevail in the region.

    The region grows with the distance from the middle: at the rim the back has the rim's own
    colour and meets the front without a seam, and a thin leg keeps its colour beside a body of
    another one.
    """
    reach = np.log2(np.clip(REACH * height / CELL, 1, 2 ** (SCALES - 1)))
    low = np.minimum(reach.astype(int), SCALES - 2)
    share = (reach - low)[:, None]
    return (1 - share) * regional[low, at] + share * regional[low + 1, at]


def _prevailing(ballots: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Blurred votes and shades [h, w, K * 4] -> colours [h, w, 3], near the winner's mean shade.

    Votes for similar colours support each other: a shaded surface is split over several.
    """
    ballots = ballots.reshape(*ballots.shape[:2], len(palette), 4)
    votes = ballots[..., 0] + 1e-9
    alike = np.exp(-((palette[:, None] - palette) ** 2).sum(-1) / (2 * ALIKE**2))
    support = votes @ alike
    weight = (support / support.max(-1, keepdims=True)) ** 6
    shades = (weight[..., None] * (ballots[..., 1:] + 1e-9 * palette)).sum(2)
    return shades / (weight * votes).sum(-1)[..., None]
