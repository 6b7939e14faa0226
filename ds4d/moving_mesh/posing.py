"""Keyframes of a given skeleton: its bones turn and its roots move so that the skinned mesh comes
nearest to a mesh that moves. Bones keep their lengths."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from .model import MovingMesh, Rig
from .skinning import INFLUENCES, Skin

SAMPLES = 2000  # vertices that a pose is solved for
STEPS = 6  # of the method of Gauss and Newton in each frame
DAMPING = 1e-4  # of a turn in radians against square world units: bones that move nothing stay


def pose(moving: MovingMesh) -> Skin:
    """The skin of a mesh that has a rig: poses of its bones in all frames, by least squares."""
    rig, rest, count = moving.rig, moving.vertices[moving.rest], len(moving.vertices)
    chosen = np.linspace(0, len(rest) - 1, min(SAMPLES, len(rest))).astype(int)
    weights = np.zeros((len(chosen), len(rig.names)))
    for slot in range(INFLUENCES):
        np.add.at(
            weights,
            (np.arange(len(chosen)), rig.bones[chosen, slot]),
            rig.weights[chosen, slot],
        )
    below = _descendants(rig.parents)
    poses = np.tile(rig.poses, (count, 1, 1, 1))
    inverse = np.linalg.inv(rig.poses)
    for order in (range(moving.rest + 1, count), range(moving.rest - 1, -1, -1)):
        now = rig.poses
        for frame in order:
            for _ in range(STEPS):
                now = _step(
                    now, inverse, rig, below, weights, rest[chosen], moving.vertices[frame, chosen]
                )
            poses[frame] = now
    return Skin(rig, rest, poses @ inverse)


def _step(
    poses: np.ndarray,  # [B, 4, 4]
    inverse: np.ndarray,  # [B, 4, 4] of the poses in rest
    rig: Rig,
    below: np.ndarray,  # [B, B] whether a bone (column) hangs on another (row), or is it
    weights: np.ndarray,  # [K, B]
    rest: np.ndarray,  # [K, 3]
    goals: np.ndarray,  # [K, 3]
) -> np.ndarray:
    """Poses [B, 4, 4] nearer to the goals."""
    transforms = poses @ inverse
    moved = np.einsum("bij,kj->bki", transforms[:, :3, :3], rest) + transforms[:, None, :3, 3]
    carried = weights.T[..., None] * moved  # [B, K, 3]
    share = below @ weights.T  # [B, K] of each vertex that turns with a bone
    arms = np.tensordot(below, carried, 1) - share[..., None] * poses[:, None, :3, 3]
    apart = (goals - carried.sum(0)).ravel()
    columns = [
        np.cross(axis, arms).reshape(len(arms), -1) for axis in np.eye(3)
    ]  # of a turn of each bone about x, y and z
    roots = np.flatnonzero(rig.parents < 0)
    columns += [(share[roots][..., None] * axis).reshape(len(roots), -1) for axis in np.eye(3)]
    slopes = np.concatenate(columns)
    squares = slopes @ slopes.T / len(rest) + DAMPING * np.eye(len(slopes))
    found = np.linalg.solve(squares, slopes @ apart / len(rest))
    turns = Rotation.from_rotvec(found[: 3 * len(arms)].reshape(3, -1).T).as_matrix()
    shifts = found[3 * len(arms) :].reshape(3, -1).T
    poses = poses.copy()
    for bone, turn in enumerate(turns):
        change, centre = np.eye(4), poses[bone, :3, 3]
        change[:3, :3], change[:3, 3] = turn, centre - turn @ centre
        poses[below[bone] > 0] = change @ poses[below[bone] > 0]
    for root, shift in zip(roots, shifts, strict=True):
        poses[below[root] > 0, :3, 3] += shift
    return poses


def _descendants(parents: np.ndarray) -> np.ndarray:
    """Matrix [B, B], 1 where the column's bone is the row's or hangs on it."""
    below = np.eye(len(parents))
    for bone in range(len(parents) - 1, -1, -1):
        if parents[bone] >= 0:
            below[parents[bone]] += below[bone]
    return below
