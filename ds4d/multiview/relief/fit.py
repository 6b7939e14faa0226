"""Surfaces of a clip from the depths that a network gives for its frames, and the shape prior.

The network tells the first surface, the prior how thick the object is and what is behind. The slant
of the network's depths tells the prior, too, which of two opposite slants it sees.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter1d

from ...run.parallel import each
from ..shape_prior.inference import Prior, Told
from .carve import carved, slopes_of
from .steady import aligned, linked, smoothed

SHARE = 0.75  # of the network in the first surface; the rest is the prior's
BLURRED = 4  # pixels from the outline within which depths do not tie frames
TURN = 3.0  # frames: standard deviation of the smoothing of slants over time
SURE = 0.5  # of the prior's doubt about the first surface that is left


@dataclass(frozen=True)
class Relief:
    """First surfaces of T frames of G x G pixels, as a network for single images tells them."""

    depths: np.ndarray  # [T, G, G] float32, widths of the frame, each up to a shift of its own
    normals: np.ndarray | None = None  # [T, G, G, 3], OpenCV axes, towards the camera
    scaled: bool = True  # False: the unit of the depths is unknown


def surfaces(
    frames: np.ndarray,  # [T, G, G, 4] uint8 RGBA, straight alpha
    relief: Relief,
    K: np.ndarray,  # [3, 3] of the camera, pixels
    slant: float | None = None,  # radians, where it is given; the depths are tilted to it
) -> Told:
    """Surfaces of a clip whose first one is the relief's, for the most part."""
    insides = frames[..., 3] > 127
    links, prior = linked(frames), Prior.load()
    depths = relief.depths.astype(float)
    if not relief.scaled:
        depths = depths * _unit(depths, prior(frames).front, insides)
    certain = np.stack([binary_erosion(inside, iterations=BLURRED) for inside in insides])
    depths = smoothed(aligned(depths, certain, links), links)
    if relief.normals is not None:
        normals = [smoothed(relief.normals[..., axis], links) for axis in range(3)]
        depths = np.stack(list(each(carved, depths, slopes_of(np.stack(normals, -1), K), insides)))
    slants = slants_of(depths, insides)
    if slant is not None:
        columns = (np.arange(depths.shape[-1]) + 0.5) / depths.shape[-1]
        depths = depths + (math.tan(slant) - np.tan(slants.mean())) * columns
        slants = np.full_like(slants, slant)
    told = prior(frames, slants)
    depths = depths + _shifts(told.front - depths, insides)
    front = SHARE * depths + (1 - SHARE) * told.front
    spreads = told.spreads.copy()
    spreads[..., :2] *= SURE
    thickness = np.maximum(told.back - told.front, 0)
    return dataclasses.replace(told, front=front, back=front + thickness, spreads=spreads)


def slants_of(depths: np.ndarray, insides: np.ndarray) -> np.ndarray:
    """Angles [T], radians, of the lines that fit depths [T, G, G] over the columns, steadied.

    An empty frame has the mean slant of the others.
    """
    slopes = np.full(len(depths), np.nan)
    for index, (depth, inside) in enumerate(zip(depths, insides, strict=True)):
        columns = np.nonzero(inside)[1] / inside.shape[1]
        if len(columns) and np.ptp(columns) > 0:
            slopes[index] = np.polyfit(columns, depth[inside], 1)[0]
    if np.isnan(slopes).all():
        return np.zeros(len(depths))
    slopes = np.where(np.isnan(slopes), np.nanmean(slopes), slopes)
    return np.arctan(gaussian_filter1d(slopes, TURN, mode="nearest"))


def _unit(depths: np.ndarray, expected: np.ndarray, insides: np.ndarray) -> float:
    """Factor on depths [T, G, G] that makes their relief about a plane as deep as expected."""
    ratios = [
        _bent(other, inside) / max(_bent(own, inside), 1e-9)
        for own, other, inside in zip(depths, expected, insides, strict=True)
        if inside.sum() > 3
    ]
    return float(np.median(ratios)) if ratios else 1.0


def _bent(depth: np.ndarray, inside: np.ndarray) -> float:
    """Standard deviation of a depth map [G, G] about its plane, inside a silhouette."""
    rows, columns = np.nonzero(inside)
    plane = np.stack([rows, columns, np.ones(len(rows))], 1)
    values = depth[inside]
    return float((values - plane @ np.linalg.lstsq(plane, values, rcond=None)[0]).std())


def _shifts(off: np.ndarray, insides: np.ndarray) -> np.ndarray:
    """Medians [T, 1, 1] of maps [T, G, G] inside the silhouettes; 0 for an empty one."""
    shifts = [np.median(o[i]) if i.any() else 0.0 for o, i in zip(off, insides, strict=True)]
    return np.array(shifts)[:, None, None]
