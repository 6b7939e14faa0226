"""Mesh files of other programs -> vertices, faces and colours.

Textures, vertex colours and flat materials all become vertex colours in sRGB.
"""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import torch

from ..errors import UserError
from . import TO_GLTF, Mesh, _linear, _srgb

SUFFIXES = (".glb", ".gltf", ".obj", ".ply")
MAX_FACES = 2_000_000
MAX_BYTES = 1 << 30
TEXELS = 96  # textured faces are split until one covers a triangle of 1/96 of the mesh's extent,
TEXTURED_FACES = 100_000  # or this part of the surface
COMPRESSED = {"KHR_draco_mesh_compression", "EXT_meshopt_compression"}
GREY = 0.5  # of what has no colour


def load(file: Path) -> tuple[Mesh, bool, list[str]]:
    """The mesh of a file about the origin, its longest side 1; whether any of it has colours; and
    warnings. Y up is assumed, as in glTF.

    Raises UserError for a file that is no mesh, has no faces or too many, or cannot be read.
    """
    file = Path(file)
    _check(file)
    tree = _gltf_tree(file) if file.suffix.lower() in (".glb", ".gltf") else None
    warnings = [
        f"{name}, which the mesh {file.name} refers to, is missing: its colours are lost."
        for name in _missing(file, tree)
    ]
    parts = list(_parts(_read(file), file))
    if not parts:
        raise UserError(f"The mesh {file.name} is empty.", "Export it again, with its faces.")
    if sum(len(shape.faces) for shape, _ in parts) > MAX_FACES:
        raise UserError(
            f"The mesh {file.name} has more than {MAX_FACES:,} faces.",
            "Simplify it first, for example with a decimate modifier; 100,000 are plenty.",
        )
    extent, area = _size(parts)
    # Equal squares of texture, as long as there are not too many.
    largest = max((extent / TEXELS) ** 2 / 2, area / TEXTURED_FACES)
    pieces, known = [], False
    for shape, transform in parts:
        vertices, faces, colors = _colored(
            shape, transform, largest, tree is not None, _has_linear_vertices(tree)
        )
        known |= colors is not None
        if colors is None:
            colors = np.full(vertices.shape, GREY)
        if np.linalg.det(transform[:3, :3]) < 0:  # a mirrored part
            faces = faces[:, ::-1]
        pieces.append((vertices, faces, colors))
    return _joined(pieces, file), known, warnings


def _check(file: Path) -> None:
    if file.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{file.name} is not a mesh that can be read.",
            "Use glb, gltf, obj or ply; the file's ending must tell its format.",
        )
    if not file.is_file():
        raise UserError(f"There is no mesh {file}.", "Check the name.")
    if file.stat().st_size == 0:
        raise UserError(f"The mesh {file.name} is empty.", "Export it again.")
    if file.stat().st_size > MAX_BYTES:
        raise UserError(
            f"The mesh {file.name} is larger than 1 GB.", "Simplify it, or shrink its textures."
        )


def _broken(file: Path) -> UserError:
    return UserError(
        f"The mesh {file.name} cannot be read: it is broken, cut off, or of another format.",
        "Export it again as glb, obj or ply; the file's ending must tell its format.",
    )


def _gltf_tree(file: Path) -> dict:
    """The JSON part of a glTF."""
    data = file.read_bytes()
    try:
        if file.suffix.lower() == ".glb":
            magic, _, _, length, kind = struct.unpack("<4sIII4s", data[:20])
            if magic != b"glTF" or kind != b"JSON":
                raise _broken(file)
            data = data[20 : 20 + length]
        tree = json.loads(data)
        compressed = COMPRESSED & set(tree.get("extensionsRequired", []))
    except (ValueError, struct.error, AttributeError, TypeError, RecursionError) as error:
        raise _broken(file) from error
    if compressed:
        raise UserError(
            f"The mesh {file.name} is compressed ({', '.join(sorted(compressed))}).",
            "Export it without mesh compression.",
        )
    return tree


def _missing(file: Path, tree: dict | None) -> list[str]:
    """The material and texture files that a mesh names and that are not beside it."""
    named = []
    if tree is not None:
        images = tree.get("images", [])
        uris = [image.get("uri", "data:") for image in images if isinstance(image, dict)]
        named = [file.parent / unquote(uri) for uri in uris if not uri.startswith("data:")]
    elif file.suffix.lower() == ".obj":
        libraries = list(_values(file, "mtllib", file.parent))
        textures = [
            texture
            for library in libraries
            if library.is_file()
            for texture in _values(library, "map_Kd", file.parent)
        ]
        named = libraries + textures
    return [path.name for path in named if not path.is_file()]


def _values(file: Path, keyword: str, folder: Path) -> Iterator[Path]:
    """The files that lines of a text file name after a keyword; options may come before them."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            word, _, rest = line.strip().partition(" ")
            if word == keyword and rest.strip():
                whole = folder / rest.strip()
                yield whole if whole.is_file() else folder / rest.split()[-1]


def _read(file: Path):
    """The trimesh scene of a file."""
    import trimesh

    log = logging.getLogger("trimesh")
    level = log.level
    log.setLevel(logging.CRITICAL)  # a person is told in one sentence
    try:
        return trimesh.load_scene(file, process=False)
    except Exception as error:  # its readers fail in every way on broken files
        raise _broken(file) from error
    finally:
        log.setLevel(level)


def _parts(scene, file: Path) -> Iterator[tuple]:
    """The surfaces of a scene with their transforms [4, 4]."""
    import trimesh

    points = False
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph[node]
        shape = scene.geometry[name]
        if isinstance(shape, trimesh.Trimesh) and len(shape.faces):
            if shape.faces.min() < 0 or shape.faces.max() >= len(shape.vertices):
                raise _broken(file)
            yield shape, np.asarray(transform)
        else:
            points |= len(getattr(shape, "vertices", ())) > 0
    if points and not any(len(getattr(g, "faces", ())) for g in scene.geometry.values()):
        raise UserError(
            f"The mesh {file.name} holds points but no faces.",
            "Bring a surface: a mesh with triangles, not a point cloud or Gaussians.",
        )


def _size(parts: list[tuple]) -> tuple[float, float]:
    """The longest side of the box around all parts, and their area, in the scene's units."""
    lows, highs, area = [], [], 0.0
    for shape, transform in parts:
        corners = _placed(shape.vertices, transform)[shape.faces]
        corners = corners[np.isfinite(corners).all((1, 2))]
        if len(corners):
            lows.append(corners.min((0, 1)))
            highs.append(corners.max((0, 1)))
            area += float(_areas(corners).sum())
    if not lows:
        return 1.0, 1.0
    return float((np.max(highs, 0) - np.min(lows, 0)).max()), area


def _areas(corners: np.ndarray) -> np.ndarray:
    """Of triangles [F, 3, 3]."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.linalg.norm(cross, axis=-1) / 2


def _placed(vertices: np.ndarray, transform: np.ndarray) -> np.ndarray:
    return vertices @ transform[:3, :3].T + transform[:3, 3]


def _has_linear_vertices(tree: dict | None) -> bool:
    """Whether vertex colours are linear, as glTF wants them. trimesh, with which most generators
    write, stores the sRGB that it was given; what `save_glb` writes with it is linear and unlit."""
    if tree is None:
        return False
    by_trimesh = "trimesh" in str(tree.get("asset", {}).get("generator", ""))
    return not by_trimesh or "KHR_materials_unlit" in tree.get("extensionsUsed", [])


def _colored(
    shape, transform: np.ndarray, largest: float, is_gltf: bool, linear_vertices: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Vertices [M, 3], faces [F, 3] and sRGB colours [M, 3] in [0, 1], or None, of one part.

    Textured faces larger than `largest` are split. In glTF texture, vertex colours and the
    material's colour, which is linear, are multiplied in linear light; elsewhere everything is
    sRGB and the first of them counts.
    """
    from trimesh.visual.color import uv_to_interpolated_color

    vertices, faces = _placed(shape.vertices, transform), np.asarray(shape.faces)
    painted, uv = _vertex_colors(shape), getattr(shape.visual, "uv", None)
    image, flat = _material(shape.visual, is_gltf)
    if uv is None or len(uv) != len(vertices):
        image = None
    if shape.visual.kind == "face":  # every face gets its own corners
        vertices, faces = vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3)
        painted = np.repeat(_unit(shape.visual.face_colors), 3, axis=0)
    if not is_gltf and image is not None:
        painted = flat = None
    elif not is_gltf and painted is not None:
        flat = None
    if image is None and painted is None and flat is None:
        return vertices, faces, None

    colors = np.ones(vertices.shape)
    for factor, is_linear in ((painted, linear_vertices), (flat, is_gltf)):
        if factor is not None:
            colors = colors * (factor if is_linear else _linear(factor))
    if image is not None:
        values = np.nan_to_num(np.hstack([uv, colors]))
        vertices, faces, values = _split(vertices, faces, values, largest)
        texture = uv_to_interpolated_color(values[:, :2], image)[:, :3] / 255
        colors = values[:, 2:] * _linear(texture)
    return vertices, faces, _srgb(colors)


def _vertex_colors(shape) -> np.ndarray | None:
    """[M, 3] in [0, 1]; trimesh keeps them elsewhere where there is a material too."""
    if shape.visual.kind == "vertex":
        return _unit(shape.visual.vertex_colors)
    for place in (shape.visual, shape):
        colors = getattr(place, "vertex_attributes", {}).get("color")
        if colors is not None and len(colors) == len(shape.vertices):
            return _unit(colors)
    return None


def _material(visual, is_gltf: bool) -> tuple:
    """The texture (a PIL image) and the flat colour [3] in [0, 1] of a material, each or None."""
    material = getattr(visual, "material", None)
    if material is None:
        return None, None
    if is_gltf:
        factor = material.baseColorFactor
        return material.baseColorTexture, np.ones(3) if factor is None else factor[:3] / 255
    image = material.image
    if not material.kwargs and (image is None or image.size == (2, 2)):
        return None, None  # trimesh's stand-in for a material that is not there
    return image, material.diffuse[:3] / 255


def _unit(colors: np.ndarray) -> np.ndarray:
    """Colours of any number type as [M, 3] in [0, 1]."""
    colors = np.asarray(colors)[:, :3]
    top = np.iinfo(colors.dtype).max if colors.dtype.kind in "iu" else 1
    return np.clip(np.nan_to_num(colors / top), 0, 1)


def _split(
    vertices: np.ndarray, faces: np.ndarray, values: np.ndarray, largest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut faces in four until none has more than the largest area; values [M, K] go along."""
    from trimesh.remesh import subdivide

    while True:
        large = np.flatnonzero(_areas(vertices[faces]) > largest)
        if not len(large):
            return vertices, faces, values
        vertices, faces, attributes = subdivide(vertices, faces, large, {"values": values})
        values = attributes["values"]


def _joined(pieces: list[tuple], file: Path) -> Mesh:
    """One mesh of sound faces and the vertices that they use, Z up, its longest side 1."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _, _ in pieces[:-1]])
    vertices, colors = (np.concatenate([piece[n] for piece in pieces]) for n in (0, 2))
    faces = np.concatenate(
        [faces + start for (_, faces, _), start in zip(pieces, starts, strict=True)]
    )
    faces = faces[np.isfinite(vertices[faces]).all((1, 2))]
    if len(faces):
        used = vertices[faces].reshape(-1, 3)
        low, high = used.min(0), used.max(0)
        extent = max((high - low).max(), np.finfo(float).tiny)
        vertices = (vertices - (low + high) / 2) / extent
        faces = faces[_areas(vertices[faces]) > 1e-12]
    if not len(faces):
        raise UserError(f"The mesh {file.name} has no surface.", "Export it again, with its faces.")
    kept, faces = np.unique(faces, return_inverse=True)
    return Mesh(
        torch.from_numpy((vertices[kept] @ TO_GLTF).astype(np.float32)),
        torch.from_numpy(faces.reshape(-1, 3).astype(np.int64)),
        torch.from_numpy(colors[kept].clip(0, 1).astype(np.float32)),
    )
