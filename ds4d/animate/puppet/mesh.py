"""Triangles over a cut-out: its outline and a grid inside."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import Delaunay

VISIBLE = 8  # grey levels; opacity from which on a pixel is covered by the mesh
MARGIN = 3  # pixels of clear picture that the mesh covers, so that soft edges stay whole
SPACING = 13.0  # pixels between vertices inside; the outline has twice as many
SMALLEST = 24  # pixels; specks of less area get no triangles


@dataclass(frozen=True)
class Mesh:
    """A triangulated cut-out."""

    vertices: np.ndarray  # [V, 2] float64, pixels (x, y)
    triangles: np.ndarray  # [F, 3] int64

    def edges(self) -> np.ndarray:
        """Each edge once, [E, 2]."""
        pairs = self.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
        return np.unique(np.sort(pairs, axis=1), axis=0)


def triangulate(
    alpha: np.ndarray,  # [H, W] uint8
) -> Mesh:
    """Cover everything visible by triangles; gaps between parts stay open."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN + 1,) * 2)
    area = cv2.dilate((alpha > VISIBLE).astype(np.uint8), disc)
    outlines, _ = cv2.findContours(area, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    large = [line[:, 0] for line in outlines if cv2.contourArea(line) >= SMALLEST]
    border = np.concatenate([_resampled(line, SPACING / 2) for line in large])
    depth = cv2.distanceTransform(area, cv2.DIST_L2, 5)
    points = np.concatenate([border, _inside(depth)])
    triangles = Delaunay(points).simplices
    centres = points[triangles].mean(1).round().astype(int)
    triangles = triangles[area[centres[:, 1], centres[:, 0]] > 0]
    used, triangles = np.unique(triangles, return_inverse=True)
    return Mesh(points[used], triangles.reshape(-1, 3))


def _resampled(line: np.ndarray, spacing: float) -> np.ndarray:
    """A closed line [N, 2] at points of even spacing, at least three."""
    closed = np.vstack([line, line[:1]]).astype(float)
    length = np.concatenate([[0], np.linalg.norm(np.diff(closed, axis=0), axis=1).cumsum()])
    at = np.linspace(0, length[-1], max(3, round(length[-1] / spacing)), endpoint=False)
    return np.stack([np.interp(at, length, closed[:, axis]) for axis in (0, 1)], 1)


def _inside(depth: np.ndarray) -> np.ndarray:
    """Points of a hexagonal grid that are not too near to the outline, [N, 2]."""
    height, width = depth.shape
    rows = np.arange(SPACING / 2, height, SPACING * 3**0.5 / 2)
    points = np.array([
        (x, y)
        for number, y in enumerate(rows)
        for x in np.arange(SPACING / 2 * (1 + number % 2), width, SPACING)
    ])  # fmt: skip
    near = depth[points[:, 1].astype(int), points[:, 0].astype(int)]
    return points[near > 0.6 * SPACING]
