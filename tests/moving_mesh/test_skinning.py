"""Skinning: bones bring the mesh near to every frame, and seams stay closed."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from ds4d.moving_mesh.geometry import Surface
from ds4d.moving_mesh.skinning import decompose, grouped


@pytest.fixture(scope="module")
def rod() -> Surface:
    """A rod from -0.4 to 0.4 along the z axis, each of its vertices twice."""
    shape = trimesh.creation.cylinder(0.1, 0.8, sections=8).subdivide_to_size(0.1)
    vertices, faces = np.asarray(shape.vertices), np.asarray(shape.faces)
    faces = np.where(vertices[faces].mean(1)[:, 2:] > 0, faces + len(vertices), faces)
    return Surface(np.tile(vertices, (2, 1)), faces)


def folded(rod: Surface, bends: tuple[float, ...]) -> np.ndarray:
    """Vertices [T, M, 3]: the upper half is turned about the middle by each angle, radians."""
    upper = np.clip(rod.vertices[:, 2:] / 0.1, 0, 1)
    return np.stack([Rotation.from_rotvec(upper * [0, b, 0]).apply(rod.vertices) for b in bends])


def test_bones_move_the_mesh_through_every_frame(rod):
    frames = folded(rod, (0.0, 0.4, 0.8, 0.2))
    skin = decompose(rod, frames, 6)
    apart = np.linalg.norm(skin.vertices() - frames, axis=-1)
    assert apart.mean() < 0.002 and apart.max() < 0.02
    assert (skin.rig.weights >= 0).all() and np.allclose(skin.rig.weights.sum(1), 1)
    turns = skin.transforms[..., :3, :3]
    assert np.allclose(turns @ turns.swapaxes(-1, -2), np.eye(3), atol=1e-6)


def test_seams_stay_closed(rod):
    skin = decompose(rod, folded(rod, (0.0, 0.5, 0.3)), 4)
    first, second = np.split(skin.vertices(), 2, axis=1)
    assert np.allclose(first, second)


@pytest.mark.parametrize("bones", [1, 3])
def test_a_mesh_that_moves_as_one_needs_no_more_than_a_bone(rod, bones):
    turns = Rotation.from_rotvec([[0, 0, 0], [0.5, 0.2, 0], [1.0, 0.4, -0.3]])
    frames = np.stack([turn.apply(rod.vertices) for turn in turns])
    assert np.allclose(decompose(rod, frames, bones).vertices(), frames, atol=1e-3)


def test_vertices_whose_paths_part_are_not_in_one_group(rod):
    group = grouped(folded(rod, (0.0, 1.0)), 4)
    ends = [set(group[sign * rod.vertices[:, 2] > 0.35]) for sign in (-1, 1)]
    assert not ends[0] & ends[1] and group.max() < 4
