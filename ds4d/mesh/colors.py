"""Colours of the meshes of other programs, as vertex colours in sRGB.

Textures, vertex colours and flat materials are all converted to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .io import UNLIT, linear_to_srgb, srgb_to_linear
from .mesh import areas, transformed
from .references import UNREADABLE


@dataclass(frozen=True)
class Convention:
    """Meaning of a file's colours, as far as trimesh does not tell it."""

    gltf: bool
    linear_vertices: bool  # vertex colours are linear, not sRGB
    unlit: bool  # all its materials are: colours contain the light already


def has_linear_vertices(tree: dict | None) -> bool:
    """True if vertex colours are linear, as glTF defines them.

    trimesh, which most generators use, writes sRGB values as they are; `save_glb` writes linear
    ones and an unlit material.
    """
    if tree is None:
        return False
    by_trimesh = "trimesh" in str(tree.get("asset", {}).get("generator", ""))
    return not by_trimesh or UNLIT in tree.get("extensionsUsed", [])


def is_unlit(tree: dict | None) -> bool:
    """True if all materials of a glTF tree are unlit."""
    try:
        materials = tree["materials"] if tree is not None else []
        return bool(materials) and all(UNLIT in each["extensions"] for each in materials)
    except UNREADABLE:
        return False


def colored_part(
    shape,
    transform: np.ndarray,
    max_area: float,
    is_gltf: bool,
    linear_vertices: bool,
    lost_textures: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Vertices [M, 3], faces [F, 3] and sRGB colours [M, 3] in [0, 1], or None, of one part.

    Textured faces larger than `max_area` are split. In glTF the texture, the vertex colours and
    the material's colour, which is linear, are multiplied in linear light; in other formats all
    are sRGB and only the first of them is used.
    """
    from trimesh.visual.color import uv_to_interpolated_color

    vertices, faces = transformed(shape.vertices, transform), np.asarray(shape.faces)
    painted, uv = vertex_colors_of(shape), getattr(shape.visual, "uv", None)
    texture, flat = material_of(shape.visual, is_gltf, lost_textures)
    if uv is None or len(uv) != len(vertices):
        texture = None
    if shape.visual.kind == "face":  # every face gets vertices of its own
        vertices, faces = vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3)
        painted = np.repeat(_unit(shape.visual.face_colors), 3, axis=0)
    if not is_gltf and texture is not None:
        painted = flat = None
    elif not is_gltf and painted is not None:
        flat = None
    if texture is None and painted is None and flat is None:
        return vertices, faces, None

    colors = np.ones(vertices.shape)
    for factor, is_linear in ((painted, linear_vertices), (flat, is_gltf)):
        if factor is not None:
            colors = colors * (factor if is_linear else srgb_to_linear(factor))
    if texture is not None:
        values = np.nan_to_num(np.hstack([uv, colors]))
        vertices, faces, values = _split(vertices, faces, values, max_area)
        texels = uv_to_interpolated_color(values[:, :2], texture)[:, :3] / 255
        colors = values[:, 2:] * srgb_to_linear(texels)
    return vertices, faces, linear_to_srgb(colors)


def vertex_colors_of(shape) -> np.ndarray | None:
    """Vertex colours [M, 3] in [0, 1]; next to a material, trimesh keeps them as an attribute."""
    if shape.visual.kind == "vertex":
        return _unit(shape.visual.vertex_colors)
    for owner in (shape.visual, shape):
        colors = getattr(owner, "vertex_attributes", {}).get("color")
        if colors is not None and len(colors) == len(shape.vertices):
            return _unit(colors)
    return None


def material_of(visual, is_gltf: bool, lost_textures: bool) -> tuple:
    """Texture (a PIL image) and flat colour [3] in [0, 1] of a material; None if missing.

    A white material of a glTF without its texture has no colour, if textures were lost.
    """
    material = getattr(visual, "material", None)
    if material is None:
        return None, None
    if is_gltf:
        factor, texture = material.baseColorFactor, material.baseColorTexture
        if factor is None and texture is None and lost_textures:
            return None, None
        return texture, np.ones(3) if factor is None else factor[:3] / 255
    image = material.image
    if image is not None and image.size == (2, 2) and not material.kwargs:
        image = None  # trimesh's placeholder for a missing material
    given = "kd" in material.kwargs or "Kd" in material.kwargs
    return image, material.diffuse[:3] / 255 if image is not None or given else None


def _unit(colors: np.ndarray) -> np.ndarray:
    """Convert colours [M, 3 or 4] of any number type to [M, 3] in [0, 1]."""
    colors = np.asarray(colors)[:, :3]
    white = np.iinfo(colors.dtype).max if colors.dtype.kind in "iu" else 1
    return np.clip(np.nan_to_num(colors / white), 0, 1)


def _split(
    vertices: np.ndarray, faces: np.ndarray, values: np.ndarray, max_area: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Subdivide faces into four until none exceeds an area; values [M, K] are interpolated."""
    from trimesh.remesh import subdivide

    while True:
        large = np.flatnonzero(areas(vertices[faces]) > max_area)
        if not len(large):
            return vertices, faces, values
        vertices, faces, attributes = subdivide(vertices, faces, large, {"values": values})
        values = attributes["values"]
