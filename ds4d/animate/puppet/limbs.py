"""Limbs of a silhouette, by its skeleton: what sticks out, where it begins, what it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from skimage.morphology import skeletonize

SIZE = 192  # pixels; longer side of the picture in which the skeleton is found
LEAST = 0.09  # of the object's size: length of a limb beyond the body
STICKS_OUT = 0.8  # of the body's radius where a limb begins: its length beyond the body
THIN = 0.85  # of the body's largest radius; what is thicker is the body itself
MOST = 8  # limbs
GROUND = 0.1  # of the height of the object: feet are not higher


@dataclass(frozen=True)
class Limb:
    """A part that sticks out of the rest."""

    path: np.ndarray  # [N, 2] pixels (x, y), from its joint to its tip, evenly spaced
    radius: float  # pixels, mean half-width
    kind: Literal["foot", "arm", "top"]  # stands on the ground, sticks out sideways, or upward

    @property
    def length(self) -> float:
        return float(np.linalg.norm(np.diff(self.path, axis=0), axis=1).sum())


def find(
    alpha: np.ndarray,  # [H, W] uint8
) -> list[Limb]:
    """Find the limbs of a cut-out, longest first."""
    scale = SIZE / max(alpha.shape)
    small = cv2.resize(alpha, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = cv2.GaussianBlur(small, (0, 0), 1.5) > 127
    if mask.sum() < 40:
        return []
    mask = np.pad(mask, 1)
    radii = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    pixels = np.argwhere(skeletonize(mask))  # [P, 2] row, column
    radius = radii[tuple(pixels.T)]
    paths = _branches(pixels, radius, size=np.sqrt(mask.sum()))
    rows, columns = np.nonzero(mask)
    box = np.array([columns.min(), rows.min(), columns.max(), rows.max()], float)
    limbs = []
    for path in paths:
        points = pixels[path][:, ::-1].astype(float)
        limbs.append((_extended(points, radius[path[-1]]), float(radius[path].mean())))
    found = [
        Limb((_even(points) - 0.5) / scale, mean / scale, _kind(points, box))
        for points, mean in limbs
    ]
    return sorted(found, key=lambda limb: -limb.length)


def _branches(pixels: np.ndarray, radius: np.ndarray, size: float) -> list[np.ndarray]:
    """Pixels of each branch of a skeleton that sticks out, from its joint to its tip."""
    graph = _graph(pixels)
    root = int(radius.argmax())
    distance, before = dijkstra(graph, indices=root, return_predecessors=True)
    tips = np.flatnonzero((np.asarray((graph > 0).sum(1)).ravel() == 1) & np.isfinite(distance))
    owner = np.full(len(pixels), -1)  # the branch that a pixel is on; the root is on branch 0
    owner[root] = 0
    kept: list[np.ndarray] = []
    for tip in tips[np.argsort(-distance[tips])]:
        path = [tip]
        while owner[path[-1]] < 0:
            path.append(before[path[-1]])
        branch = np.array(path[::-1])  # begins on a branch that was found before, or at the root
        length = distance[tip] + radius[tip] - distance[branch[0]]
        if length - radius[branch[0]] < max(LEAST * size, STICKS_OUT * radius[branch[0]]):
            continue
        owner[branch[1:]] = len(kept) + 1
        kept.append(branch)
        if len(kept) == MOST:
            break
    joints = [branch[0] for branch in kept]
    ends = [_beyond(branch, joints, pixels, radius) for branch in kept]
    thickest = THIN * radius.max()
    return [path for path in ends if len(path) > 2 and radius[path].mean() < thickest]


def _beyond(
    branch: np.ndarray, joints: list[int], pixels: np.ndarray, radius: np.ndarray
) -> np.ndarray:
    """The end of a branch after its last joint with another one, outside the disc there."""
    start = max(index for index, pixel in enumerate(branch) if index == 0 or pixel in joints)
    branch = branch[start:]
    away = np.linalg.norm(pixels[branch] - pixels[branch[0]], axis=1)
    outside = np.flatnonzero(away > 0.9 * radius[branch[0]])
    return branch[outside[0] :] if len(outside) else branch[:0]


def _graph(pixels: np.ndarray) -> coo_matrix:
    """Distances between neighbouring pixels [P, 2] of a skeleton, [P, P] sparse."""
    index = {tuple(pixel): number for number, pixel in enumerate(pixels)}
    rows, columns, lengths = [], [], []
    for (row, column), number in index.items():
        for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
            other = index.get((row + down, column + right))
            if other is None:
                continue
            # A diagonal beside a corner would close a circle of three.
            if down and right and {(row + down, column), (row, column + right)} & index.keys():
                continue
            rows += [number, other]
            columns += [other, number]
            lengths += [np.hypot(down, right)] * 2
    return coo_matrix((lengths, (rows, columns)), (len(pixels),) * 2).tocsr()


def _extended(points: np.ndarray, radius: float) -> np.ndarray:
    """A path [N, 2] prolonged by the radius at its tip, to the outline."""
    back = points[max(0, len(points) - 6)]
    ahead = points[-1] - back
    ahead = ahead / max(np.linalg.norm(ahead), 1e-6)
    return np.vstack([points, points[-1] + max(radius - 1, 0) * ahead])


def _even(points: np.ndarray, count: int = 9) -> np.ndarray:
    """A path at `count` points of even spacing."""
    length = np.concatenate([[0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])
    at = np.linspace(0, length[-1], count)
    return np.stack([np.interp(at, length, points[:, axis]) for axis in (0, 1)], 1)


def _kind(points: np.ndarray, box: np.ndarray) -> Literal["foot", "arm", "top"]:
    """Kind of a limb by its tip and direction; box: left, top, right, bottom of the object."""
    height = max(box[3] - box[1], 1)
    tip, way = points[-1], points[-1] - points[0]
    if tip[1] > box[3] - GROUND * height and way[1] > 0.5 * np.linalg.norm(way):
        return "foot"
    if -way[1] > 0.8 * np.linalg.norm(way) and tip[1] < box[1] + 0.25 * height:
        return "top"
    return "arm"
