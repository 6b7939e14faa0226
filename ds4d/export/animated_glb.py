"""One mesh that moves, as binary glTF: object.glb with a skeleton, object_morph.glb with a morph
target per frame. Axes follow glTF: Y up, front towards +Z."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from ..mesh.io import TO_GLTF, UNLIT
from ..moving_mesh.geometry import Surface, vertex_normals
from ..moving_mesh.model import Material, MovingMesh, Part, Rig, media_type
from ..moving_mesh.rigidity import welded
from ..moving_mesh.skinning import Skin
from .bones import bones_of
from .gltf import FLOAT, SHORT, VERTICES, Buffer


def write_skinned(
    path: Path,
    moving: MovingMesh,
    skin: Skin,  # of its vertices
    times: Sequence[float],  # [T] seconds, increasing
    motion: np.ndarray | None = None,  # [T, 3] translations of the whole object, in the world
) -> None:
    """Write the rest pose, the bones, and their keyframes at the clip's times.

    The root motion moves the node above the bones.
    """
    buffer, bones = Buffer(), bones_of(skin)
    surface = Surface(skin.rest, moving.faces)
    primitives = [
        _primitive(buffer, moving, part)
        | {"attributes": _attributes(buffer, surface, part) | _influences(buffer, skin.rig, part)}
        for part in moving.parts
    ]
    joints = list(range(2, 2 + len(bones.names)))
    children = [np.flatnonzero(bones.parents == bone) + 2 for bone in range(-1, len(joints))]
    roots, *children = [list(map(int, own)) for own in children]
    skeleton = {"name": "skeleton", "children": roots}
    nodes = [{"name": "object", "mesh": 0, "skin": 0}, skeleton]
    for name, pose, own in zip(bones.names, bones.rest, children, strict=True):
        nodes.append(
            {
                "name": name,
                "translation": pose[:3, 3].tolist(),
                "rotation": Rotation.from_matrix(pose[:3, :3]).as_quat().tolist(),
            }
            | ({"children": own} if own else {})
        )
    channels, samplers = [], []
    if len(times) > 1:
        key_times = buffer.add(np.asarray(times), limits=True)
        tracks = [] if motion is None else [(1, "translation", motion @ TO_GLTF.T)]
        for bone, joint in enumerate(joints):
            tracks.append((joint, "translation", bones.places[:, bone]))
            tracks.append((joint, "rotation", bones.turns[:, bone]))
        for number, (node, kind, values) in enumerate(tracks):
            samplers.append({"input": key_times, "output": buffer.add(values)})
            channels.append({"sampler": number, "target": {"node": node, "path": kind}})
    inverse = np.linalg.inv(bones.poses)
    inverse[:, 3] = [0, 0, 0, 1]
    matrices = buffer.add(inverse.swapaxes(1, 2).reshape(-1, 16))
    _save(
        path, buffer, moving, nodes, [0, 1], {"name": "object", "primitives": primitives},
        channels, samplers,
        {"skins": [{"inverseBindMatrices": matrices, "joints": joints, "skeleton": 1}]},
    )  # fmt: skip


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
        primitives.append(
            _primitive(buffer, moving, part)
            | {"attributes": _attributes(buffer, moving.surface(moving.rest), part)}
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


def _attributes(buffer: Buffer, surface: Surface, part: Part) -> dict[str, int]:
    """Accessors of a part's vertices; `surface` is the whole mesh in the rest pose."""
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


def _influences(buffer: Buffer, rig: Rig, part: Part) -> dict[str, int]:
    """Accessors of the bones of a part's vertices; by the format, those without weight are 0."""
    mine = slice(part.start, part.stop)
    weights = rig.weights[mine].astype(np.float32)
    return {
        "JOINTS_0": buffer.add(np.where(weights > 0, rig.bones[mine], 0), SHORT, VERTICES),
        "WEIGHTS_0": buffer.add(weights, FLOAT, VERTICES),
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
        pictures = [("baseColorTexture", part.material.image), *part.material.others]
        numbers = {}
        for name, picture in pictures:
            if picture is not None:
                numbers[name] = len(images)
                images.append({"bufferView": buffer.view(picture), "mimeType": media_type(picture)})
        materials.append(_material(part.material, numbers))
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


def _material(material: Material, textures: dict[str, int]) -> dict[str, Any]:
    """Unlit where readers know the extension, otherwise matt."""
    base: dict[str, Any] = {
        "metallicFactor": material.metallic,
        "roughnessFactor": material.roughness,
        "baseColorFactor": list(material.color),
    }
    made: dict[str, Any] = {"pbrMetallicRoughness": base}
    for name, number in textures.items():
        of_base = name in ("baseColorTexture", "metallicRoughnessTexture")
        (base if of_base else made)[name] = {"index": number}
    if any(material.glow):
        made["emissiveFactor"] = list(material.glow)
    if material.unlit:
        made["extensions"] = {UNLIT: {}}
    if material.two_sided:
        made["doubleSided"] = True
    return made
