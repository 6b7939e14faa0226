"""Depths of single frames made those of a clip: no drift of scale and shift, less noise.

A network for single images gives each frame a scale and a shift of its own. Points that optical
flow finds again in the next frame have about the same depth there: that ties the frames together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...interpolation.flow import flows, visible, warped
from ...interpolation.frames import premultiplied
from ...run.parallel import each

SCALE_SPREAD = 0.2  # of the scales of frames about their mean
SHIFT_SPREAD = 0.05  # widths: of the shifts about the frames' own means
LINK_SPREAD = 0.003  # widths: by which depths of linked points are off, as a whole
OUTLIER = 0.02  # widths from which on a linked point has another depth
ROUNDS = 4  # of the fit, in which such points lose weight
MEMORY = 0.75  # share of the frames before, or after, in a smoothed value
CONSISTENT = 0.5  # visibility by both flows from which on two pixels show the same point


@dataclass(frozen=True)
class Link:
    """Motion between two neighbouring frames, and the pixels where it can be believed."""

    forward: np.ndarray  # [S, S, 2] pixels, from the first to the second frame
    backward: np.ndarray  # [S, S, 2]
    seen_forward: np.ndarray  # [S, S] bool, pixels of the first frame
    seen_backward: np.ndarray  # [S, S] bool, of the second


def linked(frames: np.ndarray) -> list[Link]:
    """Links between each two neighbours among frames [T, S, S, 4] uint8."""
    images = [premultiplied(frame) for frame in frames]

    def link(index: int) -> Link:
        first, second = images[index : index + 2]
        there, back = flows(first, second)
        seen_there = (visible(there, back) > CONSISTENT) & _covered(first, second, there)
        seen_back = (visible(back, there) > CONSISTENT) & _covered(second, first, back)
        return Link(there, back, seen_there, seen_back)

    return list(each(link, range(len(frames) - 1)))


def _covered(frame: np.ndarray, other: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Pixels [S, S] of the object in one frame that the flow leads to the object in another."""
    return (frame[..., 3] > 0.5) & (warped((other[..., 3] > 0.5).astype(np.float32), flow) > 0.99)


def aligned(
    depths: np.ndarray,  # [T, S, S], each frame's up to a shift, and a scale near 1
    certain: np.ndarray,  # [T, S, S] bool: pixels whose depth is not blurred
    links: list[Link],
) -> np.ndarray:
    """Depths [T, S, S] with those scales and shifts that make linked points agree best.

    Least squares over the clip. The scales' mean stays 1; each frame's mean depth stays near 0.
    """
    T = len(depths)
    means = [d[c].mean() if c.any() else 0.0 for d, c in zip(depths, certain, strict=True)]
    depths = depths - np.array(means)[:, None, None]
    points = [_points(depths[t : t + 2], certain[t : t + 2], links[t]) for t in range(T - 1)]
    rest = np.tile([1 / SCALE_SPREAD**2, 1 / SHIFT_SPREAD**2], T)
    found = np.tile([1.0, 0.0], T)  # scale and shift of each frame
    for _ in range(ROUNDS):
        matrix = np.diag(rest)
        for t, rows in enumerate(points):
            own = slice(2 * t, 2 * t + 4)
            weights = 1 / (1 + (rows @ found[own] / OUTLIER) ** 2)
            total = max(weights.sum(), 1.0) * LINK_SPREAD**2
            matrix[own, own] += (rows * weights[:, None]).T @ rows / total
        found = np.linalg.solve(matrix, rest * np.tile([1.0, 0.0], T))
    scales, shifts = found[0::2, None, None], found[1::2, None, None]
    return depths * scales / scales.mean() + shifts


def _points(depths: np.ndarray, certain: np.ndarray, link: Link) -> np.ndarray:
    """Rows [N, 4] of the fit, for the N linked points of two frames: scale, shift of each."""
    pair = np.dstack([depths[1], certain[1]]).astype(np.float32)
    there, sure = np.moveaxis(warped(pair, link.forward), -1, 0)
    use = link.seen_forward & certain[0] & (sure > 0.99)
    ones = np.ones(use.sum())
    return np.stack([depths[0][use], ones, -there[use], -ones], 1)


def smoothed(maps: np.ndarray, links: list[Link]) -> np.ndarray:
    """Maps [T, S, S] averaged along the motion, over frames before and after alike."""
    before, after = maps.astype(np.float32), maps.astype(np.float32)
    for t, link in enumerate(links, 1):
        moved = warped(before[t - 1], link.backward)
        before[t] += MEMORY * np.where(link.seen_backward, moved - before[t], 0)
    for t, link in reversed(list(enumerate(links))):
        moved = warped(after[t + 1], link.forward)
        after[t] += MEMORY * np.where(link.seen_forward, moved - after[t], 0)
    # Both contain the frame itself with the share 1 - MEMORY.
    return (before + after - (1 - MEMORY) * maps) / (1 + MEMORY)
