"""Mid-surface of an object, halfway between front and back, about which it is inflated."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import sparse
from scipy.ndimage import maximum_filter
from scipy.sparse.linalg import SuperLU, splu

# Chosen on the bundled and the ground-truth clips. Stiffnesses are relative to one link between
# neighbouring pixels, of every second row and column.
LEG_STIFFNESS = 0.3  # with which a leg keeps its own depth
TRUNK_STIFFNESS = 0.02  # with which the thickest part keeps the plane's depth
LEAN = 0.4  # distance of thin parts in front of thick ones, of their difference in half thickness
THICK = 0.6  # share of the greatest half thickness from which on a part counts as thick
NEIGHBOURHOOD = 0.2  # radius within which thickness is compared, of the greatest half thickness


def lean(
    halves: np.ndarray,  # [T, G, G] half thickness, pixels
) -> np.ndarray:
    """Offset of thick parts behind thin ones, [T, G, G] pixels, with mean zero over the object.

    Arms, feet, paws and snouts reach forward more often than back, because people film things
    from their front. The thickness of a part is the maximum in its neighbourhood, so a ball stays
    a ball.
    """
    thickest = float(np.median(halves.max((1, 2))))
    reach = max(1, round(NEIGHBOURHOOD * thickest))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    thickness = np.empty(halves.shape, np.float32)
    for own, half in zip(thickness, halves.astype(np.float32), strict=True):
        inside = (half > 0).astype(np.float32)
        largest = np.minimum(cv2.dilate(half, disc), THICK * thickest) * inside
        weight = cv2.GaussianBlur(inside, (0, 0), reach / 2)
        own[:] = cv2.GaussianBlur(largest, (0, 0), reach / 2) / np.maximum(weight, 1e-6)
    mean = (thickness * halves).sum() / max(halves.sum(), 1e-6)
    return LEAN * (thickness - mean) * (halves > 0)


def bend(
    inside: np.ndarray,  # [G, G] bool
    half: np.ndarray,  # [G, G] half thickness, pixels
    legs: np.ndarray,  # [G, G] depth beyond the plane, NaN outside legs
) -> np.ndarray:
    """Extend the legs' depths to the whole object: depth beyond the plane, smooth, [G, G]."""
    target = legs[::2, ::2]  # the surface is smooth: a quarter of the pixels suffices
    known = np.isfinite(target)
    if not known.any():
        return np.zeros(inside.shape)
    trunk = TRUNK_STIFFNESS * (half[::2, ::2] / half.max()) ** 2
    stiffness = np.where(known, LEG_STIFFNESS, trunk)
    coarse = maximum_filter(inside, 2, origin=-1)[::2, ::2]  # any pixel of 2 x 2 is inside
    surface = membrane(coarse, stiffness, np.where(known, target, 0.0)).repeat(2, 0).repeat(2, 1)
    return np.where(inside, surface[: len(inside), : len(inside)], 0.0)


def membrane(
    inside: np.ndarray,  # [G, G] bool
    stiffness: np.ndarray,  # [G, G] >= 0, positive somewhere in each component
    target: np.ndarray,  # [G, G]
) -> np.ndarray:
    """Minimize |grad m|^2 + stiffness * (m - target)^2 inside, with a free boundary; m [G, G]."""
    links = adjacency(inside)
    degree = np.asarray(links.sum(0)).ravel()
    weight = stiffness[inside] + 1e-6
    system = (sparse.diags_array(degree + weight) - links).tocsc()
    surface = np.zeros(inside.shape)
    surface[inside] = factorize(system).solve(weight * target[inside])
    return surface


def adjacency(inside: np.ndarray) -> sparse.coo_array:
    """Adjacency matrix [N, N] of the 4-connected pixels of a mask [H, W], in reading order."""
    count = int(inside.sum())
    number = np.full((inside.shape[0] + 1, inside.shape[1] + 1), -1)
    number[:-1, :-1][inside] = np.arange(count)
    own = number[:-1, :-1][inside]
    rows, columns = [], []
    for neighbour in (number[:-1, 1:][inside], number[1:, :-1][inside]):
        rows.append(own[neighbour >= 0])
        columns.append(neighbour[neighbour >= 0])
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    links = sparse.coo_array((np.ones(len(rows)), (rows, columns)), (count, count))
    return links + links.T


def factorize(system: sparse.csc_array) -> SuperLU:
    """Factorize a symmetric positive definite matrix."""
    return splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
