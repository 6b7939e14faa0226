"""The colours of an inflated object: what the frame shows, and what it hides."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter1d

RIM = 1.5  # colours this close to the matte's edge are not trusted, pixels
PALETTE = 8  # dominant colours of a clip
BRIGHTNESS = 0.4  # how much it counts beside the tint, when colours are compared
ALIKE = 0.15  # distance of colours that support each other, standard deviation in RGB
REACH = 1.4  # how far around a hidden point its colour is sought, in its distances from the middle
CELLS = 64  # along a side of the image: how finely the hidden side's colours are sought
LEVELS = 4  # regions from one cell to 2^(LEVELS - 1) cells, standard deviation
RIND = 0.025  # votes count half this deep inside the silhouette's edge, fraction of the image
FLATNESS = 0.3  # of the regions, height by width
LASTING = 1.5  # frames that a region reaches around in time, per level, standard deviation


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
    tints = _tint(pixels)
    rank = pixels.sum(1).argsort(kind="stable").argsort(kind="stable")
    labels = (rank * PALETTE // len(pixels)).astype(np.int32)  # start: equal shares by brightness
    criteria = (cv2.TERM_CRITERIA_MAX_ITER, 20, 0.0)
    start = cv2.KMEANS_USE_INITIAL_LABELS
    labels = cv2.kmeans(tints, PALETTE, labels, criteria, 1, start)[1].ravel()
    return np.stack([pixels[labels == k].mean(0) for k in np.unique(labels)])


def cast_votes(
    fronts: np.ndarray,  # [T, G, G, 3] front colours, continued outside the silhouettes
    insides: np.ndarray,  # [T, G, G] bool
    palette: np.ndarray,  # [K, 3]
) -> np.ndarray:
    """Which colours each region shows, coarsely, in levels: [LEVELS, T, CELLS, CELLS, K * 4].

    Every pixel votes for its colour of the palette (the first of four numbers) with its own shade
    of it (the other three). Those near the silhouette's edge, where front and back meet, have the
    most to say: a face, a belly or a shirt's front is in the middle. Every level asks a region
    twice as wide, and farther around in time: what a turning head hides in one frame was seen in
    another.
    """
    cells, step = [], max(1, insides.shape[1] // (2 * CELLS))
    for front, inside in zip(fronts, insides, strict=True):
        edge = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] / len(inside)
        say = 1 / (1 + (edge / RIND) ** 2)[::step, ::step]
        front, inside = front[::step, ::step], inside[::step, ::step]
        nearest = ((_tint(front)[..., None, :] - _tint(palette)) ** 2).sum(-1).argmin(-1)
        votes = (nearest[..., None] == np.arange(len(palette))) & inside[..., None]  # [G, G, K]
        ballot = np.insert(front, 0, 1, axis=-1) * say[..., None]
        ballots = votes[..., None] * ballot[:, :, None]  # [G, G, K, 4]
        own = [_in_cells(ballots[:, :, k].astype(np.float32)) for k in range(len(palette))]
        cells.append(np.concatenate(own, -1))
    ballots = np.stack(cells)
    levels = [ballots]
    for level in range(1, LEVELS):
        levels.append(gaussian_filter1d(ballots, LASTING * level, axis=0, mode="nearest"))
    return np.stack(levels)


def regional_colors(
    votes: np.ndarray,  # [LEVELS, CELLS, CELLS, K * 4] of one frame
    palette: np.ndarray,  # [K, 3]
    size: int,  # G, pixels
) -> np.ndarray:
    """The colours that prevail around each pixel, in regions that double: [LEVELS, G * G, 3].

    The majority wins, so that marks such as eyes are forgotten. Regions are wider than high: what
    goes round an upright object, a belt or the rim of a pot, is as high on all sides.
    """
    blurred = (
        cv2.GaussianBlur(own, (0, 0), 2.0**level, sigmaY=max(1.0, FLATNESS * 2.0**level))
        for level, own in enumerate(votes)
    )
    levels = np.stack([cv2.resize(_prevailing(b, palette), (size, size)) for b in blurred])
    return levels.reshape(len(votes), -1, 3)


def front_side(
    front: np.ndarray,  # [G, G, 3]
    regional: np.ndarray,  # [LEVELS, G * G, 3]
    at: np.ndarray,  # [M] flat pixel indices
    share: np.ndarray,  # [M] 1 = on the pixel's surface, 0 = at the middle below it
) -> np.ndarray:
    """Colours [M, 3] of the front: the frame's own, along the walls less and less streaked."""
    share = share[:, None]
    return share * front.reshape(-1, 3)[at] + (1 - share) * regional[0, at]


def back_side(
    regional: np.ndarray,  # [LEVELS, G * G, 3]
    at: np.ndarray,  # [M] flat pixel indices
    height: np.ndarray,  # [M] distance behind the middle surface, fraction of the image
) -> np.ndarray:
    """Plausible colours [M, 3] for what is never seen: the ones that prevail in the region.

    The region grows with the distance from the middle: at the rim the back has the rim's own
    colour and meets the front without a seam, and a thin leg keeps its colour beside a body of
    another one.
    """
    reach = np.log2(np.clip(REACH * height * CELLS, 1, 2 ** (LEVELS - 1)))
    low = np.minimum(reach.astype(int), LEVELS - 2)
    share = (reach - low)[:, None]
    return (1 - share) * regional[low, at] + share * regional[low + 1, at]


def _tint(rgb: np.ndarray) -> np.ndarray:
    """Colours [..., 3] with less of their differences in brightness: shading is no mark."""
    return rgb - (1 - BRIGHTNESS) * rgb.mean(-1, keepdims=True)


def _in_cells(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (CELLS, CELLS), interpolation=cv2.INTER_AREA)


def _prevailing(ballots: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Blurred votes and shades [h, w, K * 4] -> colours [h, w, 3], near the winner's mean shade.

    Votes for similar colours support each other: a shaded surface is split over several.
    """
    ballots = ballots.reshape(*ballots.shape[:2], len(palette), 4)
    votes = ballots[..., 0] + 1e-9
    tints = _tint(palette)
    alike = np.exp(-((tints[:, None] - tints) ** 2).sum(-1) / (2 * ALIKE**2))
    support = votes @ alike
    weight = (support / support.max(-1, keepdims=True)) ** 6
    shades = (weight[..., None] * (ballots[..., 1:] + 1e-9 * palette)).sum(2)
    return shades / (weight * votes).sum(-1)[..., None]
