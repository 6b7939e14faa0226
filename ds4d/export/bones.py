"""Bones of a skin as files describe them: a rest pose and keyframes of each, seen from its parent.
Axes follow glTF: Y up, front towards +Z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ..mesh.io import TO_GLTF
from ..moving_mesh.skinning import Skin


@dataclass(frozen=True)
class Bones:
    """B bones, parents before their children, and their keyframes in T frames."""

    names: tuple[str, ...]
    parents: np.ndarray  # [B], -1 for none
    poses: np.ndarray  # [B, 4, 4] in the rest pose, of the whole object
    rest: np.ndarray  # [B, 4, 4] the same, seen from the parent
    places: np.ndarray  # [T, B, 3] seen from the parent
    turns: np.ndarray  # [T, B, 4] likewise, x, y, z, w; neighbours in time have the same sign


def bones_of(skin: Skin) -> Bones:
    """The bones of a skin with their keyframes."""
    axes = np.eye(4)
    axes[:3, :3] = TO_GLTF
    poses = axes @ skin.rig.poses @ axes.T
    moved = axes @ skin.transforms @ axes.T @ poses
    keys = _from_parents(moved, skin.rig.parents)
    turns = Rotation.from_matrix(keys[..., :3, :3].reshape(-1, 3, 3)).as_quat()
    turns = turns.reshape(*keys.shape[:2], 4)
    for before, after in zip(turns, turns[1:], strict=False):  # interpolation takes the short way
        after *= np.where((before * after).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    return Bones(
        skin.rig.names, skin.rig.parents, poses, _from_parents(poses, skin.rig.parents),
        keys[..., :3, 3], turns,
    )  # fmt: skip


def _from_parents(poses: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Poses [..., B, 4, 4] of the whole object, as seen from the parents of the bones."""
    seen = poses.copy()
    child = np.flatnonzero(parents >= 0)
    seen[..., child, :, :] = (
        np.linalg.inv(poses[..., parents[child], :, :]) @ poses[..., child, :, :]
    )
    return seen
