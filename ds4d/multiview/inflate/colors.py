"""Colours of an inflated object: the visible ones of its front, and plausible ones of its back."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter1d

# Chosen on the bundled and the ground-truth clips, unless a comment gives a reason.
FRINGE = 1.5  # pixels from the matte's edge within which colours contain the old background
PALETTE = 8  # dominant colours of a clip
BRIGHTNESS = 0.4  # weight of brightness beside chromaticity when colours are compared
SIMILARITY = 0.15  # standard deviation in RGB within which palette colours support each other
CELLS = 64  # per side of the image, at which histograms are counted
LEVELS = 4  # regions with a standard deviation of 1, 2, 4, 8 cells
REACH = 1.4  # standard deviation of a hidden point's region, in distances from the mid-surface
EDGE_DEPTH = 0.025  # of the image: distance from the edge at which a pixel's weight is halved
ASPECT = 0.3  # height of a region by its width: belts and rims have one height on all sides
TIME_SIGMA = 1.5  # frames per level, standard deviation of a region in time


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


def dominant_colors(frames: np.ndarray) -> np.ndarray:
    """Dominant colours [K, 3] of a clip [T, G, G, 4] in [0, 1], by k-means; deterministic."""
    pixels = frames[frames[..., 3] > 0.9][:, :3].astype(np.float32)
    pixels = pixels[:: max(1, len(pixels) // 5000)]
    if len(pixels) < PALETTE:
        return np.full((1, 3), 0.5, np.float32)
    rank = pixels.sum(1).argsort(kind="stable").argsort(kind="stable")
    labels = (rank * PALETTE // len(pixels)).astype(np.int32)  # initially by brightness
    criteria = (cv2.TERM_CRITERIA_MAX_ITER, 20, 0.0)
    start = cv2.KMEANS_USE_INITIAL_LABELS
    labels = cv2.kmeans(_comparable(pixels), PALETTE, labels, criteria, 1, start)[1].ravel()
    return np.stack([pixels[labels == k].mean(0) for k in np.unique(labels)])


def color_histograms(
    fronts: np.ndarray,  # [T, G, G, 3] front colours, extrapolated beyond the silhouettes
    insides: np.ndarray,  # [T, G, G] bool
    palette: np.ndarray,  # [K, 3]
) -> np.ndarray:
    """Histograms of the palette's colours in coarse cells, [LEVELS, T, CELLS, CELLS, K * 4].

    Per colour there are four numbers: the weight of its pixels, and their weighted sum of RGB.
    Pixels near the silhouette's edge, where front and back meet, weigh most: faces, bellies and
    prints are in the middle. Each level is smoothed over more frames than the one before, because
    a rotating head shows in one frame what it hides in another.
    """
    cells, step = [], max(1, insides.shape[1] // (2 * CELLS))
    for front, inside in zip(fronts, insides, strict=True):
        edge = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] / len(inside)
        weight = 1 / (1 + (edge / EDGE_DEPTH) ** 2)[::step, ::step]
        front, inside = front[::step, ::step], inside[::step, ::step]
        distance = ((_comparable(front)[..., None, :] - _comparable(palette)) ** 2).sum(-1)
        nearest = distance.argmin(-1)
        is_color = (nearest[..., None] == np.arange(len(palette))) & inside[..., None]  # [G, G, K]
        weighted = np.insert(front, 0, 1, axis=-1) * weight[..., None]  # [G, G, 4]
        counts = is_color[..., None] * weighted[:, :, None]  # [G, G, K, 4]
        by_color = [_in_cells(counts[:, :, k].astype(np.float32)) for k in range(len(palette))]
        cells.append(np.concatenate(by_color, -1))
    histograms = np.stack(cells)
    levels = [histograms]
    for level in range(1, LEVELS):
        levels.append(gaussian_filter1d(histograms, TIME_SIGMA * level, axis=0, mode="nearest"))
    return np.stack(levels)


def regional_colors(
    histograms: np.ndarray,  # [LEVELS, CELLS, CELLS, K * 4] of one frame
    palette: np.ndarray,  # [K, 3]
    size: int,  # G, pixels
) -> np.ndarray:
    """Prevailing colour around each pixel, in regions of doubling size, [LEVELS, G * G, 3].

    The mode, not the mean, so that marks such as eyes are left out.
    """
    blurred = (
        cv2.GaussianBlur(own, (0, 0), 2.0**level, sigmaY=max(1.0, ASPECT * 2.0**level))
        for level, own in enumerate(histograms)
    )
    levels = np.stack([cv2.resize(_mode(b, palette), (size, size)) for b in blurred])
    return levels.reshape(len(histograms), -1, 3)


def front_side(
    front: np.ndarray,  # [G, G, 3]
    regional: np.ndarray,  # [LEVELS, G * G, 3]
    pixels: np.ndarray,  # [M] flat pixel indices
    share: np.ndarray,  # [M] height over the mid-surface by that of the pixel's surface, in [0, 1]
) -> np.ndarray:
    """Colours [M, 3] of the front: the frame's own, blended to regional ones towards the rim.

    Without the blend, the walls of steps would show streaks.
    """
    share = share[:, None]
    return share * front.reshape(-1, 3)[pixels] + (1 - share) * regional[0, pixels]


def back_side(
    regional: np.ndarray,  # [LEVELS, G * G, 3]
    pixels: np.ndarray,  # [M] flat pixel indices
    height: np.ndarray,  # [M] distance behind the mid-surface, fraction of the image
) -> np.ndarray:
    """Colours [M, 3] of the hidden back: those that prevail in a region of the front.

    The region grows with the distance from the mid-surface: at the rim the back has the rim's
    colour and joins the front without a seam, and a thin leg keeps its colour beside a body of
    another one.
    """
    level = np.log2(np.clip(REACH * height * CELLS, 1, 2 ** (LEVELS - 1)))
    low = np.minimum(level.astype(int), LEVELS - 2)
    share = (level - low)[:, None]
    return (1 - share) * regional[low, pixels] + share * regional[low + 1, pixels]


def _comparable(rgb: np.ndarray) -> np.ndarray:
    """Colours [..., 3] with reduced differences in brightness, so that shading counts less."""
    return rgb - (1 - BRIGHTNESS) * rgb.mean(-1, keepdims=True)


def _in_cells(image: np.ndarray) -> np.ndarray:
    """Average an image [G, G, C] over cells, [CELLS, CELLS, C]."""
    return cv2.resize(image, (CELLS, CELLS), interpolation=cv2.INTER_AREA)


def _mode(histograms: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Soft mode of histograms [h, w, K * 4]: mean RGB of the prevailing colours, [h, w, 3].

    Similar colours support each other: a shaded surface is spread over several.
    """
    histograms = histograms.reshape(*histograms.shape[:2], len(palette), 4)
    counts = histograms[..., 0] + 1e-9
    colors = _comparable(palette)
    similarity = np.exp(-((colors[:, None] - colors) ** 2).sum(-1) / (2 * SIMILARITY**2))
    support = counts @ similarity
    weight = (support / support.max(-1, keepdims=True)) ** 6  # nearly the maximum only
    rgb = (weight[..., None] * (histograms[..., 1:] + 1e-9 * palette)).sum(2)
    return rgb / (weight * counts).sum(-1)[..., None]
