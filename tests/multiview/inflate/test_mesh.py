"""Mesh of the inflated object: closed, oriented outward, of the right volume."""

from __future__ import annotations

import numpy as np
import torch

from ds4d.cameras import RADIUS, orbit_cameras
from ds4d.mesh.mesh import Mesh
from ds4d.multiview.inflate import engine
from tests.stages import finished

SIZE = 64


def inflated(mask: np.ndarray):
    frame = np.full((1, *mask.shape, 4), 255, np.uint8)
    frame[0, mask, :3], frame[..., 3] = (200, 120, 40), 255 * mask
    return finished(engine.run(frame, orbit_cameras([0.0], size=SIZE), SIZE))[1]


def disc(radius: float) -> np.ndarray:
    rows, columns = np.indices((SIZE, SIZE)) + 0.5 - SIZE / 2
    return np.hypot(rows, columns) < radius


def volume(mesh: Mesh) -> float:
    return float(torch.linalg.det(mesh.corners().double()).sum() / 6)


def test_every_edge_is_shared_by_two_faces_that_agree():
    mask = disc(20)
    mask[20:30, 20:30] = False  # a hole
    mask[40, 5:60] = True  # one pixel thin: left out
    faces = inflated(mask).mesh.faces.numpy()
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forth, back = ({tuple(edge) for edge in some} for some in (edges, edges[:, ::-1]))
    assert forth == back and len(forth) == len(edges)


def test_a_disc_encloses_a_ball():
    radius = 24
    measured = volume(inflated(disc(radius)).mesh)  # positive: the faces are seen from outside
    ball = (
        4 / 3 * np.pi * (radius * RADIUS / float(orbit_cameras([0.0], size=SIZE).Ks[0, 0, 0])) ** 3
    )
    assert 0.75 * ball < measured < 1.05 * ball
