"""Legs that stand apart: which thin parts of a silhouette stand on the floor, and how deep.

Seen from the side, a walking animal's near and far legs share one silhouette, and inflated about
one plane they would stand in one line. But a foot of the far side stands higher in the image, even
though any foot is higher still while it swings. So feet are followed through the clip, and each is
judged by its lowest moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, label
from scipy.optimize import linear_sum_assignment

from .ground_plane import Slant

THIN = 0.55  # what a disc of this share of the trunk's girth does not fit into is a limb
SHORTEST = 0.03  # of a limb, fraction of the image
STRIDE = 0.06  # farthest that a foot gets from one frame to the next, fraction of the image
LASTING = 3  # frames; a foot seen for less is not judged
STANDING = 0.03  # how far off the floor's line a foot at its lowest may be, fraction of the image
NOISE = 1.0 / 256  # how well a foot's lowest point is known, fraction of the image
LONG = 1.2  # width by height of an animal that is seen from the side
APART = 0.35  # how far off the middle its legs are, of the trunk's half thickness
NEIGHBOURS = 0.1  # distance of feet that decides about their sides, fraction of the image
INSIDE = 0.75  # legs are within this share of the trunk's half thickness


@dataclass(frozen=True)
class Foot:
    """The tip of a limb in one frame."""

    frame: int
    column: float  # pixels
    row: float  # pixels
    limb: int  # its limb's label


def offsets(
    insides: np.ndarray,  # [T, G, G] bool
    halves: np.ndarray,  # [T, G, G] half thicknesses, pixels
    contacts: np.ndarray,  # [M, 3] rows of (frame, column, row): ground.contact_candidates
    slant: Slant,
    focal: float,  # pixels
    radius: float,  # distance of the camera to its target, world units
) -> np.ndarray:
    """How far beyond the middle plane each leg is, [T, G, G] world units; NaN = not a leg.

    A foot on the floor at row v below the principal point is at depth focal * height / v (the
    camera is level). One row thus is depth / v; the floor's line and height are the slant's.
    """
    size = insides.shape[1]
    found = np.full(insides.shape, np.nan, np.float32)
    if slant.floor <= 0:
        return found
    labels = np.stack([limbs(i, h) for i, h in zip(insides, halves, strict=True)])
    feet = _feet(labels, contacts, size)
    tracks = [track for track in _followed(feet, size) if len(track) >= LASTING]
    heights = np.array([_lowest(track, slant, focal, size) for track in tracks])
    standing = np.abs(heights) < STANDING * size
    if standing.sum() < 2:
        return found
    heights -= np.median(heights[standing])
    trunk = np.median([half.max() for half in halves]) * radius / focal
    sure = heights**2 / (heights**2 + (NOISE * size) ** 2)
    beyond = -heights * radius / (slant.floor * focal) * sure
    if _long(insides):
        these = [tracks[index] for index in np.flatnonzero(standing)]
        sides = _sides(these, beyond[standing], size)
        beyond[standing] = sides * np.maximum(np.abs(beyond[standing]), APART * trunk)
    beyond = np.clip(beyond, -INSIDE * trunk, INSIDE * trunk)
    for track, offset, stands in zip(tracks, beyond, standing, strict=True):
        for foot in track if stands else ():
            found[foot.frame][labels[foot.frame] == foot.limb] = offset
    return found


def _long(insides: np.ndarray) -> bool:
    """Whether silhouettes [T, G, G] are wider than high: an animal seen from the side."""
    return bool(insides.any((0, 1)).sum() > LONG * insides.any((0, 2)).sum())


def _sides(tracks: list[list[Foot]], beyond: np.ndarray, size: int) -> np.ndarray:
    """Which side each foot is of, -1 near or 1 far.

    What the floor says about its depth counts, and that neighbours alternate: a walking animal's
    legs do, along it.
    """
    sides = np.zeros(len(tracks))
    places = [{foot.frame: foot.column for foot in track} for track in tracks]
    for one in sorted(range(len(tracks)), key=lambda index: -len(tracks[index])):
        pull = beyond[one] / 0.02
        for other in np.flatnonzero(sides):
            shared = places[one].keys() & places[other].keys()
            if shared:
                way = np.mean([abs(places[one][t] - places[other][t]) for t in shared]) / size
                pull -= sides[other] * np.exp(-way / NEIGHBOURS)
        sides[one] = 1.0 if pull > 0 else -1.0
    return sides


def limbs(inside: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Label of the thin part that each pixel of a silhouette [G, G] is in, 0 = trunk or outside.

    The trunk is the silhouette's opening with a disc of a share of its greatest girth.
    """
    reach = THIN * half.max()
    if reach < 2:
        return np.zeros(inside.shape, int)
    distance = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    trunk = distance_transform_edt(distance <= reach) <= reach
    return label(inside & ~trunk)[0]


def _feet(labels: np.ndarray, contacts: np.ndarray, size: int) -> list[list[Foot]]:
    """The tips of the limbs in every frame; a limb has its lowest one."""
    feet: list[list[Foot]] = [[] for _ in labels]
    for frame, column, row in contacts[np.argsort(-contacts[:, 2], kind="stable")]:
        labelled = labels[int(frame)]
        limb = labelled[min(int(row - 0.5), size - 1), int(column)]
        known = {foot.limb for foot in feet[int(frame)]}
        if limb and limb not in known:
            top = np.nonzero((labelled == limb).any(1))[0][0]
            if row - top > SHORTEST * size:
                feet[int(frame)].append(Foot(int(frame), column, row, int(limb)))
    return feet


def _followed(feet: list[list[Foot]], size: int) -> list[list[Foot]]:
    """Feet of consecutive frames that are the same, by the least way (Kuhn 1955)."""
    tracks: list[list[Foot]] = []
    for frame, here in enumerate(feet):
        open_ends = [track for track in tracks if track[-1].frame == frame - 1]
        cost = np.array([[_way(track, foot) for foot in here] for track in open_ends])
        taken = set()
        if cost.size:
            for row, column in zip(*linear_sum_assignment(cost), strict=True):
                if cost[row, column] < STRIDE * size:
                    open_ends[row].append(here[column])
                    taken.add(column)
        tracks += [[foot] for index, foot in enumerate(here) if index not in taken]
    return tracks


def _way(track: list[Foot], foot: Foot) -> float:
    """Distance of a foot from where the track would go on, or stay; pixels."""
    last, before = track[-1], track[max(len(track) - 2, 0)]
    goes = np.hypot(2 * last.column - before.column - foot.column, last.row - foot.row)
    stays = np.hypot(last.column - foot.column, last.row - foot.row)
    return float(min(goes, stays))


def _lowest(track: list[Foot], slant: Slant, focal: float, size: int) -> float:
    """How far below the floor's line the foot gets, pixels."""
    column = np.array([foot.column for foot in track]) - size / 2
    row = np.array([foot.row for foot in track]) - size / 2
    line = slant.floor * focal * (1 - slant.slope * column / focal)
    return float(np.quantile(row - line, 0.85))
