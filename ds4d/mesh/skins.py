"""Skeletons of glTF files: their bones, and the vertices that they move."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from .references import References

TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclass(frozen=True)
class Skinned:
    """A part that bones move; of more than four bones of a vertex, the first four count."""

    stored: np.ndarray  # [M, 3] vertices as the file has them
    vertices: np.ndarray  # [M, 3] as the file's bones pose them
    bones: np.ndarray  # [M, 4] index of each vertex's bones
    weights: np.ndarray  # [M, 4] theirs, sum 1


@dataclass(frozen=True)
class Skeleton:
    """B bones, parents before their children, and the parts that they move."""

    names: tuple[str, ...]
    parents: np.ndarray  # [B], -1 for none
    poses: np.ndarray  # [B, 4, 4] rigid, in the file's axes
    parts: list[Skinned]

    def part(self, vertices: np.ndarray) -> Skinned | None:
        """The part with these vertices [M, 3] as the file has them; None if no bone moves it."""
        for part in self.parts:
            if part.stored.shape == vertices.shape and np.allclose(part.stored, vertices):
                return part
        return None


def skeleton_of(tree: dict[str, Any], binary: bytes, references: References) -> Skeleton | None:
    """All skins of a glTF tree as one skeleton; None if it has none.

    Args:
        tree: the JSON part.
        binary: the first buffer of a binary file.
        references: of the file, for buffers beside it.
    """
    skins, nodes = tree.get("skins", []), tree.get("nodes", [])
    parent = {child: n for n, node in enumerate(nodes) for child in node.get("children", [])}
    lines = [_line(node, parent) for node in range(len(nodes))]
    worlds = [_world(line, nodes) for line in lines]
    joints = sorted(
        {joint for skin in skins for joint in skin["joints"]}, key=lambda j: len(lines[j])
    )
    number = {joint: n for n, joint in enumerate(joints)}
    parts = []
    for node in nodes:
        if "skin" not in node or "mesh" not in node:
            continue
        skin = skins[node["skin"]]
        own = np.array([number[joint] for joint in skin["joints"]])
        matrices = np.stack([worlds[joint] for joint in skin["joints"]])
        if "inverseBindMatrices" in skin:
            binds = _values(tree, skin["inverseBindMatrices"], binary, references)
            matrices = matrices @ binds.reshape(-1, 4, 4).swapaxes(1, 2)[: len(own)]
        for primitive in tree["meshes"][node["mesh"]]["primitives"]:
            if {"JOINTS_0", "WEIGHTS_0"} <= set(primitive["attributes"]):
                stored, bones, weights = (
                    _values(tree, primitive["attributes"][name], binary, references)
                    for name in ("POSITION", "JOINTS_0", "WEIGHTS_0")
                )
                parts.append(_skinned(stored, bones.astype(np.int64), weights, matrices, own))
    if not parts:
        return None
    up = [next((number[a] for a in lines[j][1:] if a in number), -1) for j in joints]
    names = tuple(str(nodes[j].get("name", f"bone_{n + 1:02d}")) for n, j in enumerate(joints))
    return Skeleton(names, np.array(up), np.stack([_rigid(worlds[j]) for j in joints]), parts)


def _skinned(
    stored: np.ndarray,  # [M, 3]
    bones: np.ndarray,  # [M, 4] of the part's skin
    weights: np.ndarray,  # [M, 4]
    matrices: np.ndarray,  # [K, 4, 4] from the stored vertices to the scene, by each bone
    own: np.ndarray,  # [K] number of each bone in the skeleton
) -> Skinned:
    weights = weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)
    posed = np.zeros_like(stored)
    for slot in range(bones.shape[1]):
        chosen = matrices[bones[:, slot], :3]
        moved = np.einsum("mij,mj->mi", chosen[..., :3], stored) + chosen[..., 3]
        posed += weights[:, slot, None] * moved
    # The validator of glTF files wants bone 0 where the weight is 0.
    return Skinned(stored, posed, np.where(weights > 0, own[bones], 0), weights)


def _line(node: int, parent: dict[int, int]) -> list[int]:
    """A node and its ancestors. Raises ValueError if it is its own ancestor."""
    line = [node]
    while line[-1] in parent:
        if parent[line[-1]] in line:
            raise ValueError("nodes in a circle")
        line.append(parent[line[-1]])
    return line


def _world(line: list[int], nodes: list[dict[str, Any]]) -> np.ndarray:
    """Matrix [4, 4] of the first node of a line of ancestors."""
    world = np.eye(4)
    for number in line:
        node = nodes[number]
        if "matrix" in node:
            own = np.array(node["matrix"], np.float64).reshape(4, 4).T
        else:
            own = np.eye(4)
            turn = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
            own[:3, :3] = turn * np.asarray(node.get("scale", [1, 1, 1]), np.float64)
            own[:3, 3] = node.get("translation", [0, 0, 0])
        world = own @ world
    return world


def _rigid(matrix: np.ndarray) -> np.ndarray:
    """The nearest matrix [4, 4] without scale."""
    rigid = matrix.copy()
    u, _, vt = np.linalg.svd(matrix[:3, :3])
    u[:, 2] *= np.sign(np.linalg.det(u @ vt))
    rigid[:3, :3] = u @ vt
    return rigid


def _values(tree: dict[str, Any], number: int, binary: bytes, references: References) -> np.ndarray:
    """Values [K, width] float64 of an accessor."""
    accessor = tree["accessors"][number]
    view = tree["bufferViews"][accessor["bufferView"]]
    uri = tree["buffers"][view["buffer"]].get("uri")
    if uri is None:
        data = binary
    else:
        within = uri.startswith("data:")
        data = base64.b64decode(uri.partition(",")[2]) if within else references.get(uri)
    kind, width = np.dtype(TYPES[accessor["componentType"]]), WIDTHS[accessor["type"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride", kind.itemsize * width)
    shape = (accessor["count"], width)
    values = np.ndarray(shape, kind, data, start, (stride, kind.itemsize)).astype(np.float64)
    return values / np.iinfo(kind).max if accessor.get("normalized") else values
