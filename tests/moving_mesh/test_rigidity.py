"""As-rigid-as-possible bending: rigid motions are exact, seams stay closed, parts stay together."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from ds4d.moving_mesh.rigidity import RigidMesh, _nearest_rotation, welded


@pytest.fixture
def ball() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(2, 0.3)


def test_targets_of_a_rigid_motion_are_reached_exactly(ball):
    rigid = RigidMesh(np.asarray(ball.vertices), ball.faces)
    turn = Rotation.from_rotvec([0.3, -0.2, 0.4])
    goal = turn.apply(rigid.rest) + [0.1, 0.0, -0.2]
    assert np.allclose(rigid.bend(goal, goal, pull=0.5), goal, atol=1e-9)
    assert np.allclose(rigid.rotations(goal), turn.as_matrix(), atol=1e-9)


@pytest.mark.parametrize("shape", ["solid", "flat", "line", "mirrored", "point"])
def test_rotations_are_the_best_ones_also_of_shapes_that_leave_them_open(shape):
    keep = {"solid": [1, 1, 1], "flat": [1, 1, 0], "line": [1, 0, 0], "point": [0, 0, 0]}
    edges = np.random.default_rng(0).normal(size=(6, 3)) * keep.get(shape, [1, 1, 1])
    turn = Rotation.from_rotvec([1.9, -0.4, 0.8]).as_matrix()
    matrix = -np.eye(3) if shape == "mirrored" else turn @ edges.T @ edges
    found = np.empty((3, 3))
    _nearest_rotation(matrix.copy(), found)
    assert np.allclose(found @ found.T, np.eye(3), atol=1e-6) and np.linalg.det(found) > 0
    best = np.linalg.svd(matrix, compute_uv=False) @ [1, 1, np.sign(np.linalg.det(matrix)) or 1]
    assert (found * matrix).sum() > best - 0.01 * np.linalg.norm(matrix) - 1e-12


def test_a_single_bad_target_hardly_bends_the_mesh(ball):
    rigid = RigidMesh(np.asarray(ball.vertices), ball.faces)
    targets = rigid.rest.copy()
    targets[0] += 0.2
    bent = rigid.bend(rigid.rest, targets, pull=0.1, iterations=3)
    assert np.linalg.norm(bent - rigid.rest, axis=1).max() < 0.02


def test_another_shape_that_moves_carries_this_one_along(ball):
    """Deeper and shifted, as views of a single camera show it."""
    rigid = RigidMesh(np.asarray(ball.vertices), ball.faces)
    shown = rigid.rest * [1, 1.6, 1] + [0, 0.1, 0]
    turn = Rotation.from_rotvec([0.0, 0.0, 0.5])
    moved = rigid.carried(np.stack([turn.apply(shown) + [0.2, 0, 0], shown]), start=1)
    assert np.allclose(moved[1], rigid.rest, atol=1e-9)
    place = turn.apply(rigid.rest) + [0.2, 0, 0]
    assert np.allclose(moved[0], place, atol=1e-9)


def test_vertices_at_equal_places_are_one_point():
    point, points = welded(np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 1e-6], [1, 0, 0]]))
    assert point[0] == point[2] and point[1] == point[3] and len(points) == 2


def test_parts_that_do_not_touch_move_together(ball):
    other = ball.copy().apply_translation([0.61, 0, 0])
    both = trimesh.util.concatenate([ball, other])
    rigid = RigidMesh(np.asarray(both.vertices), both.faces)
    targets = rigid.rest.copy()
    first = rigid.rest[:, 0] < 0.305
    targets[first] += [0, 0, 0.3]
    points = rigid.rest
    for _ in range(30):  # only the first part is pulled; the other one stays where it is now
        targets[~first] = points[~first]
        points = rigid.bend(points, targets, pull=0.1)
    assert points[~first].mean(0)[2] > 0.05
