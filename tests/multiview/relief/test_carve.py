"""Rims by normals: slopes, spheres, steps."""

from __future__ import annotations

import cv2
import numpy as np

from ds4d.cameras import orbit_cameras
from ds4d.multiview.relief.carve import STEEPEST, carved, slopes_of

G = 96
K = orbit_cameras([0.0], size=G).Ks[0].double().numpy()
ROWS, COLUMNS = (np.indices((G, G)) + 0.5 - G / 2) / G


def test_a_plane_has_the_slopes_of_its_normal():
    rows, columns = np.indices((G, G)) + 0.5
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(K).T
    normal = np.array([0.5, -0.2, -1.0])
    depths = 1 / -(rays @ normal)  # of the points with normal . point = -1
    expected = np.stack([np.gradient(depths, axis=1), np.gradient(depths, axis=0)], -1)
    expected *= K[0, 0] / depths[..., None]  # pixels in the depth: a frame's width has G of them
    slopes = slopes_of(np.broadcast_to(normal, (G, G, 3)), K)
    np.testing.assert_allclose(slopes[1:-1, 1:-1], expected[1:-1, 1:-1], rtol=1e-3)


def test_grazing_and_turned_normals_stay_finite():
    normals = np.zeros((2, G, G, 3))
    normals[0, ..., 0], normals[1] = 1.0, [0.0, 0.6, 0.8]
    slopes = slopes_of(normals, K)
    assert np.isfinite(slopes).all() and np.abs(slopes).max() <= STEEPEST + 1e-9
    assert np.isfinite(slopes_of(np.zeros((G, G, 3)), K)).all()


def test_a_blurred_sphere_gets_its_rim_back():
    square = 0.35**2 - ROWS**2 - COLUMNS**2
    inside = square > 0.002
    heights = np.sqrt(np.maximum(square, 0.002))
    blurred = cv2.GaussianBlur(-heights * inside, (0, 0), 2.5)
    blurred /= np.maximum(cv2.GaussianBlur(inside.astype(float), (0, 0), 2.5), 1e-6)
    found = carved(blurred, np.stack([COLUMNS, ROWS], -1) / heights[..., None], inside)
    rim = inside & (square < 0.03)
    before, after = (np.abs(depth + heights)[rim].mean() for depth in (blurred, found))
    assert after < 0.8 * before
    np.testing.assert_array_equal(found[~inside], blurred[~inside])


def test_a_step_between_parts_stays():
    depth = np.where(COLUMNS < 0, 0.0, 0.2)
    found = carved(depth, np.zeros((G, G, 2)), np.ones((G, G), bool))
    np.testing.assert_allclose(found, depth, atol=2e-3)
