"""Fit the front camera to the six views that Zero123++ v1.2 generated.

v1.2 draws the object at a size and a place of its own, whatever it has in the frame. The front
camera is taken to be level, at azimuth 0 and at the six cameras' distance; its focal length and its
image's shift are unknown. They are fitted so that the object carved from all seven silhouettes
fills every one of them: a front image that is taken too small carves too much off the others, one
that is too large is not filled itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ...cameras import Cameras, project

# Levels of the search: voxels along a side of the carved block, pixels along a side of a silhouette
# (so coarse that voxels leave no holes in it), and steps as fractions of the image's side.
COARSE = (48, 36, (0.08, 0.04, 0.02))
FINE = (96, 72, (0.01, 0.005))
FRAMES = 4  # of the clip, evenly spread, that the camera is fitted to
# Bonus of a larger scale, per unit of its logarithm. Six views alone leave more than the object:
# smaller scales fill the silhouettes just as well, the truth is the largest that does.
SCALE_BONUS = 0.04
SCALES = (0.4, 2.5)  # range of the object's size in the frame over its size in the six views


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
    """Voxels of one frame that the six views leave, to be carved by the front."""

    front: np.ndarray  # [S, S] bool
    offsets: np.ndarray  # [P, 2] voxels in the nominal front image, from its centre, as fractions
    view_pixels: np.ndarray  # [6, P] pixel index of each voxel in each view
    areas: np.ndarray  # [7] pixels of the silhouettes, front last
    pixels: int  # along a side of a silhouette


def fit_front_camera(
    fronts: np.ndarray,  # [T, S, S] uint8 alphas of the frames
    views: np.ndarray,  # [T, 6, S, S] uint8 alphas of the six views
    cameras: Cameras,  # nominal: front, then the six
) -> Fit:
    """Scale and shift of the front images; one for the whole clip.

    Where the six silhouettes have nothing in common, the nominal camera with an IoU of 0.
    """
    params, iou = None, 0.0
    for voxels, pixels, steps in (COARSE, FINE):
        carvings = _carvings(fronts, views, cameras, voxels, pixels)
        if not carvings:
            return Fit(1.0, (0.0, 0.0), 0.0)
        params = np.array(_initial_params(carvings)) if params is None else params
        params, iou = _search(carvings, params, steps)
    return Fit(float(np.exp(params[0])), (float(params[1]), float(params[2])), iou)


def silhouette_iou(fronts: np.ndarray, views: np.ndarray, cameras: Cameras) -> float:
    """IoU of the silhouettes and of what is carved from them, with the cameras as they are."""
    carvings = _carvings(fronts, views, cameras, *FINE[:2])
    return _carved_iou(carvings, np.zeros(3)) if carvings else 0.0


def _search(
    carvings: list[_Carving],
    params: np.ndarray,  # [3] log scale, right, down
    steps: tuple[float, ...],
) -> tuple[np.ndarray, float]:
    """Coordinate search for the best parameters near the given ones, and their IoU."""
    best = _score(carvings, params)
    for step in steps:
        improved = True
        while improved:
            improved = False
            for move in step * np.concatenate([np.eye(3), -np.eye(3)]):
                score = _score(carvings, params + move)
                if score > best and SCALES[0] < np.exp(params[0] + move[0]) < SCALES[1]:
                    params, best, improved = params + move, score, True
    return params, _carved_iou(carvings, params)


def _carvings(
    fronts: np.ndarray, views: np.ndarray, cameras: Cameras, voxels: int, pixels: int
) -> list[_Carving]:
    """Carvings of FRAMES frames, without those where the six views have nothing in common."""
    axis = (np.arange(voxels) + 0.5) / voxels - 0.5
    centers = torch.tensor(np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)).float()
    means2d = project(centers, cameras.resized(pixels, pixels))[0].numpy()  # [7, voxels^3, 2]
    offsets = (means2d[0] / pixels - 0.5).astype(np.float32)
    columns, rows = np.floor(means2d[1:]).astype(np.int32).transpose(2, 0, 1)  # [6, voxels^3]
    visible = ((columns >= 0) & (columns < pixels) & (rows >= 0) & (rows < pixels)).all(0)
    view_pixels, offsets = (rows * pixels + columns)[:, visible], offsets[visible]
    carvings = []
    for frame in np.unique(np.linspace(0, len(fronts) - 1, FRAMES).round().astype(int)):
        masks = np.stack([_coarse_mask(alpha, pixels).ravel() for alpha in views[frame]])
        kept = np.take_along_axis(masks, view_pixels, 1).all(0)
        front = fronts[frame] > 127
        if kept.any() and front.any():
            areas = np.array([*masks.sum(1), _coarse_mask(fronts[frame], pixels).sum()])
            carving = _Carving(front, offsets[kept], view_pixels[:, kept], areas, pixels)
            carvings.append(carving)
    return carvings


def _coarse_mask(alpha: np.ndarray, pixels: int) -> np.ndarray:
    """An alpha channel [S, S] as a mask [pixels, pixels] bool."""
    return cv2.resize(alpha, (pixels, pixels), interpolation=cv2.INTER_AREA) > 127


def _initial_params(carvings: list[_Carving]) -> tuple[float, float, float]:
    """Log scale and shift that bring the voxels' extent in the front image to the matte's."""
    logs, shifts = [], []
    for carving in carvings:
        rows, columns = np.nonzero(carving.front)
        matte = np.stack([columns, rows], 1) / len(carving.front) - 0.5
        low, high = carving.offsets.min(0), carving.offsets.max(0)
        extent = (matte.max(0) - matte.min(0)) / np.maximum(high - low, 1e-6)
        logs.append(np.log(np.clip(extent.min(), *SCALES)))
        shifts.append((matte.max(0) + matte.min(0)) / 2 - np.exp(logs[-1]) * (low + high) / 2)
    right, down = np.median(shifts, 0)
    return float(np.median(logs)), float(right), float(down)


def _score(carvings: list[_Carving], params: np.ndarray) -> float:
    """Objective of the search: the IoU, with a bonus for larger scales."""
    return _carved_iou(carvings, params) + SCALE_BONUS * params[0]


def _carved_iou(carvings: list[_Carving], params: np.ndarray) -> float:
    """Share of all silhouettes that the object carved from all seven fills."""
    filled = total = 0
    shift = np.float32(params[1:] + 0.5)
    for carving in carvings:
        side = len(carving.front)
        positions = carving.offsets * np.float32(np.exp(params[0])) + shift
        columns, rows = np.floor(positions * side).astype(np.int32).T
        kept = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
        kept[kept] = carving.front[rows[kept], columns[kept]]
        for indices in carving.view_pixels:
            filled += _count_pixels(indices[kept], carving.pixels)
        columns, rows = np.floor(positions[kept] * carving.pixels).astype(np.int32).T
        front = _count_pixels(rows * carving.pixels + columns, carving.pixels)
        filled += min(front, carving.areas[-1])
        total += carving.areas.sum()
    return float(filled / total)


def _count_pixels(indices: np.ndarray, pixels: int) -> int:
    """Number of different pixels among indices into an image [pixels, pixels]."""
    hit = np.zeros(pixels**2, bool)
    hit[indices] = True
    return int(hit.sum())
