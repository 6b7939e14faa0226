"""Skeleton of a moving mesh: rigid bones and weights by skinning decomposition.

Vertices whose paths are alike begin with a bone in common. Dem Bones (Le and Deng 2012, "Smooth
skinning decomposition with rigid bones") moves the bones and blends them. Least squares for the
bones, the weights and the rest pose in turns come nearer still: a single frame's own pose would add
its errors to every other one.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from .geometry import Surface
from .model import Rig
from .rigidity import welded

INFLUENCES = 4  # bones of a vertex at most, as engines have it
PATHS = 12  # components of the vertices' paths by which they are grouped
ITERATIONS = 2  # of Dem Bones
ROUNDS = 3  # of the least squares
TIES = 1e-3  # weight of a vertex's former place against a frame, where bones leave it open
WEIGHT_TIES = 1e-4  # the same of its weights, as a share of what the frames say of them


@dataclass(frozen=True)
class Skin:
    """A rest pose of M vertices, and T poses of the bones that move it by linear blend skinning."""

    rig: Rig
    rest: np.ndarray  # [M, 3] world
    transforms: np.ndarray  # [T, B, 4, 4] from the rest pose to each frame, rigid, world

    def vertices(self) -> np.ndarray:
        """Vertices [T, M, 3] as viewers compute them."""
        points = np.concatenate([self.rest, np.ones((len(self.rest), 1))], 1)
        moved = np.zeros((len(self.transforms), len(points), 3))
        for slot in range(INFLUENCES):
            matrices = self.transforms[:, self.rig.bones[:, slot], :3]
            share = self.rig.weights[:, slot, None]
            moved += share * np.einsum("tmij,mj->tmi", matrices, points)
        return moved


def decompose(
    surface: Surface,  # in the rest pose
    vertices: np.ndarray,  # [T, M, 3]
    bones: int,  # at most
) -> Skin:
    """Bones without a hierarchy, weights and a rest pose that come near to all frames.

    Vertices at equal places get equal weights, so that seams stay closed.
    """
    point, points = welded(surface.vertices)
    first = np.full(len(points), -1)
    first[point[::-1]] = np.arange(len(point))[::-1]
    faces = point[surface.faces]
    i, j, k = faces.T
    faces = faces[(i != j) & (j != k) & (k != i)]
    places = vertices[:, first]
    dense, transforms = _dem_bones(points, places, faces, grouped(places, bones))
    order = np.argsort(-dense, axis=1, kind="stable")[:, :INFLUENCES]
    weights = np.take_along_axis(dense, order, 1).clip(0)
    padding = ((0, 0), (0, INFLUENCES - order.shape[1]))
    order, weights = np.pad(order, padding), np.pad(weights, padding)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-12)
    mass = dense.sum(0)[:, None]
    count = len(transforms[0])
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, 3] = np.where(mass > 0, dense.T @ points / np.maximum(mass, 1e-12), points.mean(0))
    names = tuple(f"bone_{number + 1:02d}" for number in range(count))
    rig = Rig(names, np.full(count, -1), poses, order, weights)
    skin = Skin(rig, points, transforms)
    for _ in range(ROUNDS):
        skin = replace(skin, transforms=best_transforms(skin, places))
        skin = replace(skin, rig=replace(rig, weights=best_weights(skin, places)))
        skin = replace(skin, rest=best_rest(skin, places))
    rig = replace(rig, bones=order[point], weights=skin.rig.weights[point])
    return Skin(rig, skin.rest[point], skin.transforms)


def grouped(
    vertices: np.ndarray,  # [T, M, 3]
    groups: int,  # at most
) -> np.ndarray:
    """Group [M] of each vertex: those with similar paths through all frames are together."""
    from scipy.cluster.vq import kmeans2

    paths = vertices.swapaxes(0, 1).reshape(vertices.shape[1], -1)
    paths = paths - paths.mean(0)
    _, axes = np.linalg.eigh(paths.T @ paths)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of groups that stay empty
        groups = min(groups, len(paths))
        _, group = kmeans2(paths @ axes[:, -PATHS:], groups, iter=20, minit="++", seed=0)
    return np.unique(group, return_inverse=True)[1]


def _dem_bones(
    points: np.ndarray,  # [M, 3] in rest
    vertices: np.ndarray,  # [T, M, 3]
    faces: np.ndarray,  # [F, 3]
    group: np.ndarray,  # [M] the bone that each vertex begins with
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [M, B] and transforms [T, B, 4, 4]."""
    from py_dem_bones import DemBones

    frames, count = len(vertices), int(group.max()) + 1
    solver = DemBones()
    solver.nV, solver.nF, solver.nS, solver.nB = len(points), frames, 1, count
    solver.nnz, solver.nIters = min(INFLUENCES, count), ITERATIONS
    solver.fStart = np.array([0, frames], np.int32)
    solver.subjectID = np.zeros(frames, np.int32)
    solver.u, solver.fv = np.ascontiguousarray(points.T), faces.tolist()
    solver.v = np.ascontiguousarray(vertices.swapaxes(1, 2).reshape(3 * frames, -1))
    # Its own groups are sometimes a single one.
    solver.set_weights(np.eye(count)[:, group])
    solver.compute()
    blocks = np.asarray(solver.m).reshape(frames, 4, count, 4)
    return np.asarray(solver.get_weights()).T, blocks.swapaxes(1, 2).copy()


def best_transforms(skin: Skin, vertices: np.ndarray) -> np.ndarray:
    """Transforms [T, B, 4, 4] that come nearer to all frames [T, M, 3], of a bone after the other:
    each takes what the others leave."""
    rig, transforms = skin.rig, skin.transforms.copy()
    left = vertices - skin.vertices()
    for bone in range(transforms.shape[1]):
        mine, slot = np.nonzero((rig.bones == bone) & (rig.weights > 0))
        if len(mine) < 3:
            continue
        share, rest = rig.weights[mine, slot], skin.rest[mine]
        turns, shifts = transforms[:, bone, :3, :3], transforms[:, bone, :3, 3]  # views
        left[:, mine] += share[:, None] * (rest @ turns.swapaxes(1, 2) + shifts[:, None])
        centre = share**2 @ rest / (share**2).sum()
        goal = np.einsum("m,tmi->ti", share, left[:, mine]) / (share**2).sum()
        apart = share[:, None] * (left[:, mine] - share[:, None] * goal[:, None])
        u, _, vt = np.linalg.svd(apart.swapaxes(1, 2) @ (rest - centre))
        u[..., 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
        turns[:] = u @ vt
        shifts[:] = goal - turns @ centre
        left[:, mine] -= share[:, None] * (rest @ turns.swapaxes(1, 2) + shifts[:, None])
    return transforms


def best_weights(skin: Skin, vertices: np.ndarray) -> np.ndarray:
    """Weights [M, 4] of the same bones that come nearer to all frames [T, M, 3]."""
    rig, points = skin.rig, np.concatenate([skin.rest, np.ones((len(skin.rest), 1))], 1)
    moved = np.stack(
        [
            np.einsum("tmij,mj->mti", skin.transforms[:, rig.bones[:, slot], :3], points)
            for slot in range(INFLUENCES)
        ],
        -1,
    ).reshape(len(points), -1, INFLUENCES)
    goals = vertices.swapaxes(0, 1).reshape(len(points), -1, 1)
    # The weights sum to 1: whatever all bones have in common says nothing.
    common = moved.mean(-1, keepdims=True)
    slopes = (moved - common).swapaxes(1, 2)
    squares, sums = slopes @ slopes.swapaxes(1, 2), slopes @ (goals - common)
    scale = squares.trace(axis1=1, axis2=2)[:, None, None] + 1e-12
    squares += WEIGHT_TIES * scale * np.eye(INFLUENCES) + 1e6 * scale
    sums += WEIGHT_TIES * scale * rig.weights[..., None] + 1e6 * scale
    weights, used = rig.weights, rig.weights > 0
    for _ in range(INFLUENCES - 1):  # a bone that would have a negative weight is left out
        both = used[:, :, None] & used[:, None]
        system = np.where(both, squares, scale * np.eye(INFLUENCES))
        weights = np.linalg.solve(system, np.where(used[..., None], sums, 0))[..., 0]
        used &= weights > 0
    weights = weights.clip(0)
    return weights / weights.sum(1, keepdims=True)


def best_rest(
    skin: Skin,  # whose rest pose is roughly right
    vertices: np.ndarray,  # [T, M, 3]
) -> np.ndarray:
    """Rest pose [M, 3] from which the bones come nearest to all frames, by least squares."""
    squares = np.tile(TIES * np.eye(3), (len(skin.rest), 1, 1))
    sums = TIES * skin.rest
    for transforms, places in zip(skin.transforms, vertices, strict=True):
        blended = (skin.rig.weights[..., None, None] * transforms[skin.rig.bones][..., :3, :]).sum(
            1
        )
        turns = blended[..., :3]
        squares += turns.swapaxes(1, 2) @ turns
        sums += np.einsum("mji,mj->mi", turns, places - blended[..., 3])
    return np.linalg.solve(squares, sums[..., None])[..., 0]
