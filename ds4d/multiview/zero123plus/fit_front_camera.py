"""Where the front camera stands among the six views that Zero123++ v1.2 drew.

v1.2 draws the object at a size and a place of its own, whatever it has in the frame. The front
camera is taken to be level, at azimuth 0 and at the six cameras' distance; its focal length and its
image's shift are what silhouettes can tell. They are fitted so that the object carved from all
seven silhouettes fills every one of them: a front image that is taken too small carves too much
off the others, one that is too large is not filled itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ...cameras import Cameras, project

# Of the search: cells along a side of the carved block, pixels along a side of a silhouette (so
# coarse that cells leave no holes in it), and steps as fractions of the image's side.
COARSE = (48, 36, (0.08, 0.04, 0.02))
FINE = (96, 72, (0.01, 0.005))
FRAMES = 4  # of the clip, evenly spread, that the camera is fitted to
# What a larger scale is worth, per unit of its logarithm. Six views alone leave more than the
# object: smaller scales fill the silhouettes just as well, the truth is the largest that does.
TIGHT = 0.04
SCALES = (0.4, 2.5)  # of the object in the frame, of its size in the six views


@dataclass(frozen=True)
class Fit:
    """The front image is the level camera's at the nominal field of view, scaled, then shifted."""

    scale: float
    shift: tuple[float, float]  # right and down, fractions of the image's side
    iou: float  # of the carved object's silhouettes and the seven given ones

    def camera(self, nominal: Cameras) -> Cameras:
        """The fitted front camera, from the nominal one."""
        K = nominal.Ks.clone()
        K[:, (0, 1), (0, 1)] *= self.scale
        K[:, 0, 2] += self.shift[0] * nominal.width
        K[:, 1, 2] += self.shift[1] * nominal.height
        return Cameras(nominal.viewmats, K, nominal.width, nominal.height)


@dataclass(frozen=True)
class _Carving:
    """One frame's block, carved by the six views, ready to be carved by the front."""

    front: np.ndarray  # [S, S] bool
    rays: np.ndarray  # [P, 2] where cells are in the nominal front image, from its centre
    seen: np.ndarray  # [6, P] pixel of each cell in each view
    areas: np.ndarray  # [7] pixels of the silhouettes, front last
    pixels: int  # along a side of a silhouette


def fit_front(
    fronts: np.ndarray,  # [T, S, S] uint8 alphas of the frames
    views: np.ndarray,  # [T, 6, S, S] uint8 alphas of the six views
    cameras: Cameras,  # nominal: front, then the six
) -> Fit:
    """The scale and the shift of the front images; one for the whole clip.

    Where the six silhouettes have nothing in common, the nominal camera with an IoU of 0.
    """
    place, best = None, 0.0
    for cells, pixels, steps in (COARSE, FINE):
        carvings = _carvings(fronts, views, cameras, cells, pixels)
        if not carvings:
            return Fit(1.0, (0.0, 0.0), 0.0)
        place = np.array(_first_guess(carvings)) if place is None else place
        place, best = _search(carvings, place, steps)
    return Fit(float(np.exp(place[0])), (float(place[1]), float(place[2])), best)


def agreement(fronts: np.ndarray, views: np.ndarray, cameras: Cameras) -> float:
    """IoU of the silhouettes and of what is carved from them, with the cameras as they are."""
    carvings = _carvings(fronts, views, cameras, *FINE[:2])
    return _agreement(carvings, np.zeros(3)) if carvings else 0.0


def _search(
    carvings: list[_Carving], place: np.ndarray, steps: tuple[float, ...]
) -> tuple[np.ndarray, float]:
    """The nearby place [log scale, right, down] with the best agreement, and that agreement."""
    best = _score(carvings, place)
    for step in steps:
        better = True
        while better:
            better = False
            for move in step * np.concatenate([np.eye(3), -np.eye(3)]):
                score = _score(carvings, place + move)
                if score > best and SCALES[0] < np.exp(place[0] + move[0]) < SCALES[1]:
                    place, best, better = place + move, score, True
    return place, _agreement(carvings, place)


def _carvings(
    fronts: np.ndarray, views: np.ndarray, cameras: Cameras, cells: int, pixels: int
) -> list[_Carving]:
    """The frames that are fitted to, those left out where the six views have nothing in common."""
    axis = (np.arange(cells) + 0.5) / cells - 0.5
    places = torch.tensor(np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)).float()
    at = project(places, cameras.resized(pixels, pixels))[0].numpy()  # [7, cells^3, 2]
    rays = (at[0] / pixels - 0.5).astype(np.float32)
    columns, rows = np.floor(at[1:]).astype(np.int32).transpose(2, 0, 1)  # [6, cells^3]
    visible = ((columns >= 0) & (columns < pixels) & (rows >= 0) & (rows < pixels)).all(0)
    index, rays = (rows * pixels + columns)[:, visible], rays[visible]
    carvings = []
    for frame in np.unique(np.linspace(0, len(fronts) - 1, FRAMES).round().astype(int)):
        masks = np.stack([_coarse(alpha, pixels).ravel() for alpha in views[frame]])
        kept = np.take_along_axis(masks, index, 1).all(0)
        front = fronts[frame] > 127
        if kept.any() and front.any():
            areas = np.array([*masks.sum(1), _coarse(fronts[frame], pixels).sum()])
            carvings.append(_Carving(front, rays[kept], index[:, kept], areas, pixels))
    return carvings


def _coarse(alpha: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.resize(alpha, (pixels, pixels), interpolation=cv2.INTER_AREA) > 127


def _first_guess(carvings: list[_Carving]) -> tuple[float, float, float]:
    """Log scale and shift that bring the carved cells' extent in the front image to the matte's."""
    logs, shifts = [], []
    for carving in carvings:
        side = len(carving.front)
        rows, columns = np.nonzero(carving.front)
        matte = np.stack([columns, rows], 1) / side - 0.5
        low, high = carving.rays.min(0), carving.rays.max(0)
        extent = (matte.max(0) - matte.min(0)) / np.maximum(high - low, 1e-6)
        logs.append(np.log(np.clip(extent.min(), *SCALES)))
        shifts.append((matte.max(0) + matte.min(0)) / 2 - np.exp(logs[-1]) * (low + high) / 2)
    right, down = np.median(shifts, 0)
    return float(np.median(logs)), float(right), float(down)


def _score(carvings: list[_Carving], place: np.ndarray) -> float:
    return _agreement(carvings, place) + TIGHT * place[0]


def _agreement(carvings: list[_Carving], place: np.ndarray) -> float:
    """What share of all silhouettes is filled by what all seven leave; [log scale, right, down]."""
    filled = total = 0
    shift = np.float32(place[1:] + 0.5)
    for carving in carvings:
        side = len(carving.front)
        at = carving.rays * np.float32(np.exp(place[0])) + shift
        columns, rows = np.floor(at * side).astype(np.int32).T
        kept = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
        kept[kept] = carving.front[rows[kept], columns[kept]]
        for seen in carving.seen:
            filled += _count(seen[kept], carving.pixels)
        columns, rows = np.floor(at[kept] * carving.pixels).astype(np.int32).T
        front = _count(rows * carving.pixels + columns, carving.pixels)
        filled += min(front, carving.areas[-1])
        total += carving.areas.sum()
    return float(filled / total)


def _count(at: np.ndarray, pixels: int) -> int:
    """How many different pixels there are."""
    hit = np.zeros(pixels**2, bool)
    hit[at] = True
    return int(hit.sum())
