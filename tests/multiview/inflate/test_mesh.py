"""The inflated object as a mesh: closed, the right way out, as large as the shell."""

from __future__ import annotations

import numpy as np

from ds4d.cameras import RADIUS, orbit_cameras
from ds4d.config import MachineConfig, MeshConfig
from ds4d.mesh import choose
from ds4d.multiview import inflate
from ds4d.multiview.inflate.mesh import Surface, joined
from tests.stages import finished

SIZE = 64


def inflated(mask: np.ndarray):
    frame = np.full((1, *mask.shape, 4), 255, np.uint8)
    frame[0, mask, :3], frame[..., 3] = (200, 120, 40), 255 * mask
    return finished(inflate.run(frame, orbit_cameras([0.0], size=SIZE), SIZE))[1]


def disc(radius: float) -> np.ndarray:
    rows, columns = np.indices((SIZE, SIZE)) + 0.5 - SIZE / 2
    return np.hypot(rows, columns) < radius


def volume(surface: Surface) -> float:
    return np.linalg.det(surface.vertices[surface.faces].astype(float)).sum() / 6


def test_every_edge_is_shared_by_two_faces_that_agree():
    mask = disc(20)
    mask[20:30, 20:30] = False  # a hole
    mask[40, 5:60] = True  # one pixel thin: left out
    faces = inflated(mask).surface.faces
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forth, back = ({tuple(edge) for edge in some} for some in (edges, edges[:, ::-1]))
    assert forth == back and len(forth) == len(edges)


def test_a_disc_encloses_a_ball():
    radius = 24
    measured = volume(inflated(disc(radius)).surface)  # positive: the faces are seen from outside
    ball = (
        4 / 3 * np.pi * (radius * RADIUS / float(orbit_cameras([0.0], size=SIZE).Ks[0, 0, 0])) ** 3
    )
    assert 0.75 * ball < measured < 1.05 * ball


def test_the_mesh_stage_takes_it_over(tmp_path):
    views, file = inflated(disc(20)), tmp_path / "surface.npz"
    views.surface.save(file)
    engine = choose(MeshConfig(), MachineConfig(device="cpu"), "inflate", file)
    mesh = finished(engine.run(views.images[0], views.cameras, 96))[1]
    assert engine.name == "inflated"
    np.testing.assert_array_equal(mesh.vertices.numpy(), views.surface.vertices)
    assert np.abs(mesh.colors.numpy() - np.array([200, 120, 40]) / 255).max() < 0.02


def test_two_parts_stay_two():
    one = inflated(disc(10)).surface
    both = joined([one, one])
    assert len(both.faces) == 2 * len(one.faces)
    assert np.isclose(volume(both), 2 * volume(one))
