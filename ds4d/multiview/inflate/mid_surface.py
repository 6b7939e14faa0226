"""The surface halfway between an object's front and its back, about which it is inflated."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import sparse
from scipy.ndimage import maximum_filter
from scipy.sparse.linalg import splu

PINNED = 0.3  # how firmly a leg keeps its own depth, per pixel
SETTLED = 0.02  # how firmly the trunk keeps the plane's, per pixel, where it is thickest
FORWARD = 0.4  # how far thin parts stand before thick ones, of the difference of half thicknesses
GIRTH = 0.6  # half thickness from which on a part counts as thick, of the thickest one's
WITHIN = 0.2  # as far inside its edge a ball is as thick as that, of its radius


def leaning(
    halves: np.ndarray,  # [T, G, G] half thicknesses, pixels
) -> np.ndarray:
    """How much farther the middle surface is for thick parts than for thin ones, [T, G, G] pixels.

    Arms, feet, paws and snouts reach forward more often than back: people film things from where
    they face. A part is as thick as its surroundings, so a ball stays one; the mean over the
    object is zero.
    """
    thickest = float(np.median(halves.max((1, 2))))
    reach = max(1, round(WITHIN * thickest))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    girths = np.empty(halves.shape, np.float32)
    for girth, half in zip(girths, halves.astype(np.float32), strict=True):
        inside = (half > 0).astype(np.float32)
        around = np.minimum(cv2.dilate(half, disc), GIRTH * thickest) * inside
        weight = cv2.GaussianBlur(inside, (0, 0), reach / 2)
        girth[:] = cv2.GaussianBlur(around, (0, 0), reach / 2) / np.maximum(weight, 1e-6)
    mean = (girths * halves).sum() / max(halves.sum(), 1e-6)
    return FORWARD * (girths - mean) * (halves > 0)


def bent(
    inside: np.ndarray,  # [G, G] bool
    half: np.ndarray,  # [G, G] half thickness, pixels
    legs: np.ndarray,  # [G, G] depth beyond the plane, NaN = not known
) -> np.ndarray:
    """Depth beyond the plane everywhere inside, [G, G]: smooth between legs and trunk."""
    own = legs[::2, ::2]  # it is smooth: every second pixel will do
    known = np.isfinite(own)
    if not known.any():
        return np.zeros(inside.shape)
    firm = np.where(known, PINNED, SETTLED * (half[::2, ::2] / half.max()) ** 2)
    coarse = maximum_filter(inside, 2, origin=-1)[::2, ::2]  # where any pixel of 2 x 2 is inside
    surface = membrane(coarse, firm, np.where(known, own, 0.0)).repeat(2, 0).repeat(2, 1)
    return np.where(inside, surface[: len(inside), : len(inside)], 0.0)


def membrane(
    inside: np.ndarray,  # [G, G] bool
    firm: np.ndarray,  # [G, G] >= 0, somewhere positive in each component
    target: np.ndarray,  # [G, G]
) -> np.ndarray:
    """The surface that minimizes |grad m|^2 + firm * (m - target)^2 inside, with a free rim."""
    links = neighbours(inside)
    degree = np.asarray(links.sum(0)).ravel()
    weight = firm[inside] + 1e-6
    system = (sparse.diags_array(degree + weight) - links).tocsc()
    surface = np.zeros(inside.shape)
    surface[inside] = factored(system).solve(weight * target[inside])
    return surface


def neighbours(inside: np.ndarray) -> sparse.coo_array:
    """Which pixels of a mask [H, W] touch each other, N x N for N pixels in reading order."""
    count = int(inside.sum())
    number = np.full((inside.shape[0] + 1, inside.shape[1] + 1), -1)
    number[:-1, :-1][inside] = np.arange(count)
    here = number[:-1, :-1][inside]
    rows, columns = [], []
    for there in (number[:-1, 1:][inside], number[1:, :-1][inside]):
        rows.append(here[there >= 0])
        columns.append(there[there >= 0])
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    links = sparse.coo_array((np.ones(len(rows)), (rows, columns)), (count, count))
    return links + links.T


def factored(system: sparse.csc_array):
    """The factors of a symmetric positive definite system."""
    return splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
