"""The user's own mesh as the topology: its vertices, uv and materials, where the views show it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..mesh import read
from ..mesh.colors import Convention, material_of, vertex_colors_of
from ..mesh.io import TO_GLTF, srgb_to_linear
from ..mesh.mesh import Mesh, transformed
from ..mesh.skins import Skeleton, Skinned
from .model import Material, MovingMesh, Part, Rig

MOST_VERTICES = 100_000  # of a mesh that is animated; one key of each per frame is written
MOST_TEXELS = 4096  # along a side of a texture; larger ones are reduced
OTHERS = ("normalTexture", "metallicRoughnessTexture", "occlusionTexture", "emissiveTexture")
PLAIN = (0.5, 0.5, 0.5, 1.0)  # linear colour of parts without one


class TooDense(UserError):
    """A mesh of too many vertices to be written once per frame."""


def read_given(file: Path) -> MovingMesh:
    """Read a mesh file as a mesh of one frame, in the axes of the world and its own units.

    Parts of more than one instance are repeated.

    Raises:
        TooDense: it has more than MOST_VERTICES vertices.
        UserError: the file cannot be used.
    """
    shapes, skeleton, convention = read.shapes(file)
    if sum(len(shape.vertices) for shape, _, _ in shapes) > MOST_VERTICES:
        raise TooDense(
            f"The mesh {file.name} has more than {MOST_VERTICES:,} vertices, too many to animate.",
            "Simplify it, for example with a decimate modifier, and run again.",
        )
    parts, places, start = [], [], 0
    for shape, transform, _ in shapes:
        faces = np.asarray(shape.faces, np.int64)
        if np.linalg.det(transform[:3, :3]) < 0:  # a mirrored part
            faces = faces[:, ::-1]
        places.append(transformed(np.asarray(shape.vertices, np.float64), transform))
        parts.append(_part(shape, faces, start, convention))
        start += len(shape.vertices)
    rig = None
    if skeleton is not None:
        counts = [len(shape.vertices) for shape, _, _ in shapes]
        rig = _rig(skeleton, [skinned for _, _, skinned in shapes], counts)
    return MovingMesh((np.concatenate(places) @ TO_GLTF)[None], tuple(parts), 0, rig)


def place_given(file: Path, aligned: Mesh) -> MovingMesh:
    """Read a mesh file and move it to where the mesh stage found it.

    Args:
        file: of the user.
        aligned: what the mesh stage made of it, in world coordinates.

    Raises:
        TooDense: it has more than MOST_VERTICES vertices.
        UserError: the file cannot be used.
    """
    mesh = read_given(file)
    raw = mesh.vertices[0]
    used = raw[mesh.faces.ravel()]
    used = used[np.isfinite(used).all(1)]
    low, high = used.min(0), used.max(0)
    normalized = np.nan_to_num((raw - (low + high) / 2) / (high - low).max())
    same, _, _ = read.load(file)  # the vertices that were aligned, before they were
    scale, rotation, shift = similarity(same.vertices.numpy(), aligned.vertices.numpy())
    rig = mesh.rig
    if rig is not None:
        poses = rig.poses.copy()
        poses[:, :3, :3] = rotation @ poses[:, :3, :3]
        centred = (poses[:, :3, 3] - (low + high) / 2) / (high - low).max()
        poses[:, :3, 3] = scale * centred @ rotation.T + shift
        rig = replace(rig, poses=poses)
    return replace(mesh, vertices=(scale * normalized @ rotation.T + shift)[None], rig=rig)


def _rig(skeleton: Skeleton, skinned: list[Skinned | None], counts: list[int]) -> Rig:
    """The skeleton in world axes; parts that no bone moves follow the first one."""
    bones, weights = [], []
    for part, count in zip(skinned, counts, strict=True):
        bones.append(np.zeros((count, 4), np.int64) if part is None else part.bones)
        still = np.tile([1.0, 0, 0, 0], (count, 1))
        weights.append(still if part is None else part.weights)
    axes = np.eye(4)
    axes[:3, :3] = TO_GLTF.T
    poses = axes @ skeleton.poses @ axes.T
    joined = np.concatenate(bones), np.concatenate(weights)
    return Rig(skeleton.names, skeleton.parents, poses, *joined)


def similarity(points: np.ndarray, moved: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation [3, 3] and shift [3] from points [P, 3] to others (Umeyama 1991)."""
    a, b = points.astype(np.float64), moved.astype(np.float64)
    from_mean, to_mean = a.mean(0), b.mean(0)
    a, b = a - from_mean, b - to_mean
    u, values, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    scale = float((values * signs).sum() / (a**2).sum())
    return scale, rotation, to_mean - scale * rotation @ from_mean


def _part(shape, faces: np.ndarray, start: int, convention: Convention) -> Part:
    """A part with the texture, flat colour or vertex colours of a trimesh.Trimesh."""
    visual, gltf = shape.visual, convention.gltf
    image, flat = material_of(visual, gltf, lost_textures=False)
    uv = getattr(visual, "uv", None)
    if uv is None or len(uv) != len(shape.vertices):
        image = uv = None
    painted = vertex_colors_of(shape) if image is None or gltf else None
    colors = None
    if painted is not None:
        linear = painted if convention.linear_vertices else srgb_to_linear(painted)
        colors = np.concatenate([linear, np.ones((len(linear), 1))], 1)
    if flat is not None:
        color = tuple((flat if gltf else srgb_to_linear(flat)).tolist()) + (1.0,)
    else:
        color = PLAIN if image is None and colors is None else (1.0,) * 4
    if image is not None and not gltf:
        color = (1.0,) * 4  # as most programs read the material of an obj file
    more = _more(visual.material) if gltf and uv is not None else {}
    base = None if image is None else _file_of(image)
    unlit = convention.unlit
    material = Material(base, color=color, unlit=unlit, two_sided=True, **more)
    flipped = None if uv is None else np.stack([uv[:, 0], 1 - uv[:, 1]], 1)
    return Part(start, start + len(shape.vertices), faces, material, flipped, colors)


def _more(material) -> dict[str, Any]:
    """Fields of a Material beside its base colour, from a trimesh material of a glTF file."""
    others = []
    for name in OTHERS:
        texture = getattr(material, name, None)
        if texture is not None:
            others.append((name, _file_of(texture)))
    # What the format assumes where a file is silent shows as a mirror in most viewers.
    metallic, roughness = material.metallicFactor, material.roughnessFactor
    measured = any(name == "metallicRoughnessTexture" for name, _ in others)
    glow = material.emissiveFactor
    return {
        "others": tuple(others),
        "metallic": float(measured) if metallic is None else float(metallic),
        "roughness": 1.0 if roughness is None else float(roughness),
        "glow": (0.0,) * 3 if glow is None else tuple(np.asarray(glow, float)[:3].tolist()),
    }


def _file_of(image) -> bytes:
    """A texture as a PNG file of at most MOST_TEXELS along a side."""
    picture = image.convert("RGBA" if "A" in image.getbands() else "RGB")
    picture.thumbnail((MOST_TEXELS, MOST_TEXELS))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
