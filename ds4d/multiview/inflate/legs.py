"""Depth of legs: the thin parts of a silhouette that stand on the ground, near or far side.

Seen from the side, a walking animal's near and far legs share one silhouette, and inflated about
one plane they would stand in one line. A foot of the far side appears higher in the image, but any
foot appears higher while it swings. Feet are therefore tracked through the clip, and the depth of
each follows from its lowest positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, label
from scipy.optimize import linear_sum_assignment

from .ground_plane import Slant

# Chosen on the bundled and the ground-truth clips.
THIN = 0.55  # limbs are what the opening with a disc of this share of the largest radius removes
MIN_LENGTH = 0.03  # of a limb, fraction of the image
MAX_STRIDE = 0.06  # motion of a foot between frames, fraction of the image
MIN_FRAMES = 3  # of a track
MAX_HEIGHT = 0.03  # of a foot at its lowest above the ground line, fraction of the image
LOW_QUANTILE = 0.85  # of a foot's rows: its lowest position, robust to outliers
NOISE = 1.0 / 256  # standard deviation of a foot's lowest row, fraction of the image
ELONGATED = 1.2  # width by height of an animal that is seen from the side
LEG_OFFSET = 0.35  # smallest offset of its legs, relative to the trunk's half thickness
MAX_OFFSET = 0.75  # largest offset of any leg, likewise
NEIGHBOURS = 0.1  # distance within which feet of opposite sides alternate, fraction of the image
SIDE_SCALE = 0.02  # world units of measured depth that outweigh one close neighbour


@dataclass(frozen=True)
class Foot:
    """Tip of a limb in one frame."""

    frame: int
    column: float  # pixels
    row: float  # pixels
    limb: int  # label of its limb


def depth_offsets(
    insides: np.ndarray,  # [T, G, G] bool
    halves: np.ndarray,  # [T, G, G] half thickness, pixels
    contacts: np.ndarray,  # [M, 3] rows of (frame, column, row): ground_plane.lowest_points
    slant: Slant,
    focal: float,  # pixels
    radius: float,  # distance of the camera to its target, world units
) -> np.ndarray:
    """Depth of each leg beyond the mid-surface's plane, [T, G, G] world units; NaN outside legs.

    A foot on the ground at row v below the principal point has depth focal * height / v (the
    camera is level), so one row corresponds to depth / v. The ground line is that of the slant.
    """
    size = insides.shape[1]
    offsets = np.full(insides.shape, np.nan, np.float32)
    if slant.ground <= 0:
        return offsets
    labels = np.stack([limbs(i, h) for i, h in zip(insides, halves, strict=True)])
    feet = _find_feet(labels, contacts, size)
    tracks = [track for track in _track(feet, size) if len(track) >= MIN_FRAMES]
    heights = np.array([_lowest(track, slant, focal, size) for track in tracks])
    standing = np.abs(heights) < MAX_HEIGHT * size
    if standing.sum() < 2:
        return offsets
    heights -= np.median(heights[standing])
    trunk = np.median([half.max() for half in halves]) * radius / focal
    reliability = heights**2 / (heights**2 + (NOISE * size) ** 2)
    depths = -heights * radius / (slant.ground * focal) * reliability
    if _is_elongated(insides):
        legs = [tracks[index] for index in np.flatnonzero(standing)]
        sides = _assign_sides(legs, depths[standing], size)
        depths[standing] = sides * np.maximum(np.abs(depths[standing]), LEG_OFFSET * trunk)
    depths = np.clip(depths, -MAX_OFFSET * trunk, MAX_OFFSET * trunk)
    for track, depth, stands in zip(tracks, depths, standing, strict=True):
        for foot in track if stands else ():
            offsets[foot.frame][labels[foot.frame] == foot.limb] = depth
    return offsets


def _is_elongated(insides: np.ndarray) -> bool:
    """True if silhouettes [T, G, G] are wider than high: an animal seen from the side."""
    return bool(insides.any((0, 1)).sum() > ELONGATED * insides.any((0, 2)).sum())


def _assign_sides(tracks: list[list[Foot]], depths: np.ndarray, size: int) -> np.ndarray:
    """Assign each foot to the near (-1) or the far side (1), longest tracks first.

    The measured depth counts, and that neighbours alternate, as the legs of a walking animal do.
    """
    sides = np.zeros(len(tracks))
    columns = [{foot.frame: foot.column for foot in track} for track in tracks]
    for index in sorted(range(len(tracks)), key=lambda index: -len(tracks[index])):
        score = depths[index] / SIDE_SCALE
        for other in np.flatnonzero(sides):
            common = columns[index].keys() & columns[other].keys()
            if common:
                distances = [abs(columns[index][t] - columns[other][t]) for t in common]
                score -= sides[other] * np.exp(-np.mean(distances) / size / NEIGHBOURS)
        sides[index] = 1.0 if score > 0 else -1.0
    return sides


def limbs(inside: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Label [G, G] of the thin part that each pixel is in, 0 = trunk or outside.

    The trunk is the morphological opening of the silhouette with a disc.
    """
    radius = THIN * half.max()
    if radius < 2:
        return np.zeros(inside.shape, int)
    distance = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    trunk = distance_transform_edt(distance <= radius) <= radius
    return label(inside & ~trunk)[0]


def _find_feet(labels: np.ndarray, contacts: np.ndarray, size: int) -> list[list[Foot]]:
    """Lowest contact of each long enough limb, per frame."""
    feet: list[list[Foot]] = [[] for _ in labels]
    for frame, column, row in contacts[np.argsort(-contacts[:, 2], kind="stable")]:
        frame_labels, frame_feet = labels[int(frame)], feet[int(frame)]
        limb = frame_labels[min(int(row - 0.5), size - 1), int(column)]
        if limb and limb not in {foot.limb for foot in frame_feet}:
            top = np.nonzero((frame_labels == limb).any(1))[0][0]
            if row - top > MIN_LENGTH * size:
                frame_feet.append(Foot(int(frame), column, row, int(limb)))
    return feet


def _track(feet: list[list[Foot]], size: int) -> list[list[Foot]]:
    """Link feet of consecutive frames by the least total motion (Kuhn 1955)."""
    tracks: list[list[Foot]] = []
    for frame, current in enumerate(feet):
        active = [track for track in tracks if track[-1].frame == frame - 1]
        cost = np.array([[_motion(track, foot) for foot in current] for track in active])
        linked = set()
        if cost.size:
            for row, column in zip(*linear_sum_assignment(cost), strict=True):
                if cost[row, column] < MAX_STRIDE * size:
                    active[row].append(current[column])
                    linked.add(column)
        tracks += [[foot] for index, foot in enumerate(current) if index not in linked]
    return tracks


def _motion(track: list[Foot], foot: Foot) -> float:
    """Distance of a foot from a track's constant-velocity or static prediction, pixels."""
    last, previous = track[-1], track[max(len(track) - 2, 0)]
    moving = np.hypot(2 * last.column - previous.column - foot.column, last.row - foot.row)
    static = np.hypot(last.column - foot.column, last.row - foot.row)
    return float(min(moving, static))


def _lowest(track: list[Foot], slant: Slant, focal: float, size: int) -> float:
    """Lowest position of a foot below the ground line, pixels."""
    column = np.array([foot.column for foot in track]) - size / 2
    row = np.array([foot.row for foot in track]) - size / 2
    line = slant.ground * focal * (1 - slant.slope * column / focal)
    return float(np.quantile(row - line, LOW_QUANTILE))
