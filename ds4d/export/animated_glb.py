"""One mesh that moves, as binary glTF: object.glb with a skeleton, object_morph.glb with a morph
target per frame. Axes follow glTF: Y up, front towards +Z."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from ..mesh.io import TO_GLTF
from ..moving_mesh.geometry import vertex_normals
from ..moving_mesh.model import Material, MovingMesh, Part
from ..moving_mesh.rigidity import welded
from ..moving_mesh.skinning import Skin
from .gltf import FLOAT, SHORT, VERTICES, Buffer

UNLIT = "KHR_materials_unlit"


def write_skinned(
    path: Path,
    moving: MovingMesh,
    skin: Skin,  # of its vertices
    times: Sequence[float],  # [T] seconds, increasing
    motion: np.ndarray | None = None,  # [T, 3] translations of the whole object, in the world
) -> None:
    """Write the rest pose, bones without a hierarchy, and their keyframes at the clip's times.

    The root motion moves the node above the bones.
    """
    buffer = Buffer()
    primitives = [
        _primitive(buffer, moving, part)
        | {"attributes": _attributes(buffer, moving, part) | _influences(buffer, skin, part)}
        for part in moving.parts
    ]
    centres = skin.centres @ TO_GLTF.T
    places, turns = bone_keys(skin)
    inverse = np.tile(np.eye(4), (len(centres), 1, 1))
    inverse[:, :3, 3] = -centres
    joints = list(range(2, 2 + len(centres)))
    nodes = [
        {"name": "object", "mesh": 0, "skin": 0},
        {"name": "skeleton", "children": joints},
        *(
            {"name": f"bone_{number + 1:02d}", "translation": centre.tolist()}
            for number, centre in enumerate(centres)
        ),
    ]
    key_times = buffer.add(np.asarray(times), limits=True)
    channels, samplers = [], []
    for bone, joint in enumerate(joints):
        for kind, values in (("translation", places[:, bone]), ("rotation", turns[:, bone])):
            samplers.append({"input": key_times, "output": buffer.add(values)})
            channels.append({"sampler": len(samplers) - 1, "target": {"node": joint, "path": kind}})
    if motion is not None:
        samplers.append({"input": key_times, "output": buffer.add(motion @ TO_GLTF.T)})
        channels.append(
            {"sampler": len(samplers) - 1, "target": {"node": 1, "path": "translation"}}
        )
    matrices = buffer.add(inverse.swapaxes(1, 2).reshape(-1, 16))
    _save(
        path, buffer, moving, nodes, [0, 1], {"name": "object", "primitives": primitives},
        channels, samplers,
        {"skins": [{"inverseBindMatrices": matrices, "joints": joints, "skeleton": 1}]},
    )  # fmt: skip


def bone_keys(skin: Skin) -> tuple[np.ndarray, np.ndarray]:
    """Places [T, B, 3] and rotations [T, B, 4] (x, y, z, w) of the bones, in the axes of glTF.

    Neighbouring rotations have the same sign: interpolation takes the short way.
    """
    moved = np.einsum("tbij,bj->tbi", skin.transforms[..., :3, :3], skin.centres)
    places = (moved + skin.transforms[..., :3, 3]) @ TO_GLTF.T
    matrices = TO_GLTF @ skin.transforms[..., :3, :3] @ TO_GLTF.T
    turns = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat().reshape(*places.shape[:2], 4)
    for before, after in zip(turns, turns[1:], strict=False):
        after *= np.where((before * after).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    return places, turns


def write_morphing(
    path: Path,
    moving: MovingMesh,
    times: Sequence[float],  # [T] seconds, increasing
    motion: np.ndarray | None = None,  # [T, 3] translations of the whole object, in the world
) -> None:
    """Write the rest pose and the way of every vertex to its place in each other frame.

    The root motion moves the mesh's node.
    """
    buffer = Buffer()
    others = [frame for frame in range(len(moving.vertices)) if frame != moving.rest]
    ways = (moving.vertices[others] - moving.vertices[moving.rest]) @ TO_GLTF.T
    primitives = []
    for part in moving.parts:
        mine = ways[:, part.start : part.stop]
        targets = [{"POSITION": buffer.add(way, FLOAT, VERTICES, limits=True)} for way in mine]
        attributes = _attributes(buffer, moving, part)
        primitives.append(
            _primitive(buffer, moving, part)
            | {"attributes": attributes}
            | ({"targets": targets} if targets else {})
        )
    channels, samplers = [], []
    if others:
        shares = np.delete(np.eye(len(moving.vertices)), moving.rest, axis=1)  # [T, T - 1]
        keys, values = buffer.add(np.asarray(times), limits=True), buffer.add(shares.ravel())
        samplers = [{"input": keys, "output": values}]
        channels = [{"sampler": 0, "target": {"node": 0, "path": "weights"}}]
        if motion is not None:
            samplers.append({"input": keys, "output": buffer.add(motion @ TO_GLTF.T)})
            channels.append({"sampler": 1, "target": {"node": 0, "path": "translation"}})
    names = [f"frame_{frame + 1:04d}" for frame in others]
    mesh = {"name": "object", "primitives": primitives, "extras": {"targetNames": names}}
    nodes = [{"name": "object", "mesh": 0}]
    _save(path, buffer, moving, nodes, [0], mesh, channels, samplers, {})


def _primitive(buffer: Buffer, moving: MovingMesh, part: Part) -> dict[str, Any]:
    """Triangles of a part, and the number of its material."""
    number = next(n for n, other in enumerate(moving.parts) if other is part)
    return {"indices": buffer.indices(part.faces), "material": number}


def _attributes(buffer: Buffer, moving: MovingMesh, part: Part) -> dict[str, int]:
    """Accessors of a part's vertices in the rest pose."""
    surface = moving.surface(moving.rest)
    point, points = welded(surface.vertices)  # normals are smooth across seams of the texture
    normals = vertex_normals(points, point[surface.faces])[point]
    normals[np.linalg.norm(normals, axis=1) < 0.5] = [0, 0, 1]  # of vertices without a face
    mine = slice(part.start, part.stop)
    found = {
        "POSITION": buffer.add(surface.vertices[mine] @ TO_GLTF.T, FLOAT, VERTICES, limits=True),
        "NORMAL": buffer.add(normals[mine] @ TO_GLTF.T, FLOAT, VERTICES),
    }
    if part.uv is not None:
        found["TEXCOORD_0"] = buffer.add(part.uv, FLOAT, VERTICES)
    if part.colors is not None:
        found["COLOR_0"] = buffer.add(
            np.round(part.colors * 65535), SHORT, VERTICES, normalized=True
        )
    return found


def _influences(buffer: Buffer, skin: Skin, part: Part) -> dict[str, int]:
    """Accessors of the bones of a part's vertices."""
    mine = slice(part.start, part.stop)
    return {
        "JOINTS_0": buffer.add(skin.bones[mine], SHORT, VERTICES),
        "WEIGHTS_0": buffer.add(skin.weights[mine], FLOAT, VERTICES),
    }


def _save(
    path: Path,
    buffer: Buffer,
    moving: MovingMesh,
    nodes: list[dict],
    roots: list[int],
    mesh: dict[str, Any],
    channels: list[dict],
    samplers: list[dict],
    more: dict[str, Any],
) -> None:
    materials, images = [], []
    for part in moving.parts:
        materials.append(_material(part.material, len(images)))
        if part.material.image is not None:
            view = buffer.view(part.material.image)
            images.append({"bufferView": view, "mimeType": part.material.kind})
    unlit = any(part.material.unlit for part in moving.parts)
    tree = {
        "scene": 0,
        "scenes": [{"name": "DS4D", "nodes": roots}],
        "nodes": nodes,
        "meshes": [mesh],
        "materials": materials,
        "images": images,
        "samplers": [{"magFilter": 9729, "minFilter": 9987}] if images else [],
        "textures": [{"source": number, "sampler": 0} for number in range(len(images))],
        "extensionsUsed": [UNLIT] if unlit else [],
        "animations": [{"name": "clip", "channels": channels, "samplers": samplers}]
        * bool(channels),
        **more,
    }
    buffer.save(path, tree)


def _material(material: Material, image: int) -> dict[str, Any]:
    """Unlit where readers know the extension, otherwise matt."""
    base: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    base["baseColorFactor"] = list(material.color)
    if material.image is not None:
        base["baseColorTexture"] = {"index": image}
    made: dict[str, Any] = {"pbrMetallicRoughness": base}
    if material.unlit:
        made["extensions"] = {UNLIT: {}}
    if material.two_sided:
        made["doubleSided"] = True
    return made
