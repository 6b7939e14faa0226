"""Skeleton of a moving mesh: rigid bones and weights by skinning decomposition.

Dem Bones (Le and Deng 2012, "Smooth skinning decomposition with rigid bones") finds both at once.
The rest pose is then the one from which the bones come nearest to all frames: a single frame's own
would add its errors to every other one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Surface
from .model import Rig
from .rigidity import welded

INFLUENCES = 4  # bones of a vertex at most, as engines have it
ITERATIONS = 8  # 30 are no better
TIES = 1e-3  # weight of a vertex's former place against a frame, where bones leave it open


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
    from py_dem_bones import solve_skinning

    point, points = welded(surface.vertices)
    first = np.full(len(points), -1)
    first[point[::-1]] = np.arange(len(point))[::-1]
    faces = point[surface.faces]
    i, j, k = faces.T
    faces = faces[(i != j) & (j != k) & (k != i)]
    found = solve_skinning(
        points, vertices[:, first], min(bones, len(points)), faces=faces.tolist(),
        max_influences=INFLUENCES, iterations=ITERATIONS,
    )  # fmt: skip
    dense, transforms = found.weights.T, found.transforms
    order = np.argsort(-dense, axis=1, kind="stable")[:, :INFLUENCES]
    weights = np.take_along_axis(dense, order, 1).clip(0)
    padding = ((0, 0), (0, INFLUENCES - order.shape[1]))
    order, weights = np.pad(order, padding), np.pad(weights, padding)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-12)
    order[weights == 0] = 0
    mass = dense.sum(0)[:, None]
    count = len(transforms[0])
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, 3] = np.where(mass > 0, dense.T @ points / np.maximum(mass, 1e-12), points.mean(0))
    names = tuple(f"bone_{number + 1:02d}" for number in range(count))
    rig = Rig(names, np.full(count, -1), poses, order, weights)
    rest = best_rest(Skin(rig, points, transforms), vertices[:, first])[point]
    return Skin(Rig(names, rig.parents, poses, order[point], weights[point]), rest, transforms)


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
