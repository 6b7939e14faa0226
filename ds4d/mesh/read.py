"""Reader of mesh files from other programs: glb, gltf, obj, ply."""

from __future__ import annotations

import io
import json
import logging
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import UserError
from .colors import Convention, colored_part, has_linear_vertices, is_unlit
from .io import TO_GLTF
from .mesh import Mesh, areas, transformed
from .references import MAX_BYTES, UNREADABLE, References, drop_unreadable_images
from .skins import Skeleton, skeleton_of

SUFFIXES = (".glb", ".gltf", ".obj", ".ply")
MAX_FACES = 2_000_000  # more than any view shows; 100,000 are plenty
# Textured faces are split until they are as small as half a square of 1/96 of the mesh's extent,
# finer than the point cloud that is sampled from them, but into about TEXTURED_FACES at most.
TEXELS = 96
TEXTURED_FACES = 100_000
MIN_AREA = 1e-12  # of a face, at extent 1; smaller ones are degenerate
COMPRESSED = {"KHR_draco_mesh_compression", "EXT_meshopt_compression"}
GREY = 0.5  # colour of parts without one, in each channel


def shapes(file: Path) -> tuple[list[tuple], Skeleton | None, Convention]:
    """Triangle meshes of a file as trimesh.Trimesh, each with its transform [4, 4] and what bones
    move of it (Skinned or None); the skeleton of the file, None if it has none; and what its
    colours mean.

    Raises:
        UserError: the file is not a mesh, or cannot be read.
    """
    file = Path(file)
    _check(file)
    references = References(file)
    tree, data = _opened(file, references)
    posed, skeleton = _posed(file, _read(file, data, references), tree, data, references)
    convention = Convention(tree is not None, has_linear_vertices(tree), is_unlit(tree))
    return posed, skeleton, convention


def load(file: Path) -> tuple[Mesh, bool, list[str]]:
    """Load a mesh file; Y is taken as up, as in glTF.

    Returns:
        The mesh, centred at the origin with longest side 1; whether any part of it has colours;
        and warnings about materials and textures that are missing.

    Raises:
        UserError: the file is not a mesh, has no faces or too many, or cannot be read.
    """
    file = Path(file)
    _check(file)
    references = References(file)
    tree, data = _opened(file, references)
    loaded = _read(file, data, references)
    warnings = [
        f"{name}, which the mesh {file.name} refers to, is missing or cannot be read: its colours "
        "are lost."
        for name in references.missing
    ]
    parts = [part[:2] for part in _posed(file, loaded, tree, data, references)[0]]
    if not parts:
        raise UserError(f"The mesh {file.name} is empty.", "Export it again, with its faces.")
    if sum(len(shape.faces) for shape, _ in parts) > MAX_FACES:
        raise _too_many_faces(file)
    extent, area = _size(parts)
    max_area = max((extent / TEXELS) ** 2 / 2, area / TEXTURED_FACES)
    pieces, colored = [], False
    for shape, transform in parts:
        vertices, faces, colors = colored_part(
            shape, transform, max_area, tree is not None, has_linear_vertices(tree),
            bool(references.missing),
        )  # fmt: skip
        colored |= colors is not None
        if colors is None:
            colors = np.full(vertices.shape, GREY)
        if np.linalg.det(transform[:3, :3]) < 0:  # a mirrored part
            faces = faces[:, ::-1]
        pieces.append((vertices, faces, colors))
    return _joined(pieces, file), colored, warnings


def _check(file: Path) -> None:
    """Raise UserError for a file that is missing, empty, too large or of another format."""
    if file.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{file.name} is not a mesh that can be read.",
            "Use glb, gltf, obj or ply; the file extension must match the format.",
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
        f"The mesh {file.name} cannot be read: it is corrupt, incomplete, or of another format.",
        "Export it again as glb, obj or ply; the file extension must match the format.",
    )


def _too_many_faces(file: Path) -> UserError:
    return UserError(
        f"The mesh {file.name} has more than {MAX_FACES:,} faces.",
        "Simplify it first, for example with a decimate modifier; 100,000 are plenty.",
    )


def _opened(file: Path, references: References) -> tuple[dict | None, bytes]:
    """The JSON part of a glTF file, None of other files, and the bytes that trimesh may read.

    Raises:
        UserError: the file is corrupt, its geometry is compressed, or it promises more than the
            limits allow.
    """
    data = file.read_bytes()
    if file.suffix.lower() not in (".glb", ".gltf"):
        return None, data
    try:
        tree, binary = _chunks(data) if file.suffix.lower() == ".glb" else (json.loads(data), b"")
        compressed = COMPRESSED & set(tree.get("extensionsRequired", []))
        counts = [accessor["count"] for accessor in tree.get("accessors", [])]
        changed = drop_unreadable_images(tree, binary, references)
    except UNREADABLE:
        raise _broken(file) from None
    if references.refused:
        raise references.refused
    if compressed:
        raise UserError(
            f"The mesh {file.name} is compressed ({', '.join(sorted(compressed))}).",
            "Export it without mesh compression.",
        )
    if any(not isinstance(count, int) or count > 3 * MAX_FACES for count in counts):
        raise _too_many_faces(file)
    if changed and file.suffix.lower() == ".glb":
        data = _glb(tree, binary)
    elif changed:
        data = json.dumps(tree).encode()
    return tree, data


def _chunks(data: bytes) -> tuple[dict, bytes]:
    """The JSON part and the first buffer of a binary glTF. Raises ValueError for other data."""
    magic, _, _, length, kind = struct.unpack("<4sIII4s", data[:20])
    if magic != b"glTF" or kind != b"JSON":
        raise ValueError("no binary glTF")
    return json.loads(data[20 : 20 + length]), data[20 + length + 8 :]


def _glb(tree: dict, binary: bytes) -> bytes:
    """A binary glTF of a JSON part and one buffer."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _read(file: Path, data: bytes, references: References):
    """Load the bytes of a file as a trimesh.Scene."""
    import trimesh

    log = logging.getLogger("trimesh")
    level = log.level
    log.setLevel(logging.CRITICAL)  # the UserError below is enough
    kind = file.suffix.lower().removeprefix(".")
    try:
        return trimesh.load_scene(
            io.BytesIO(data), file_type=kind, resolver=references, process=False
        )
    except Exception as error:  # its readers raise exceptions of all kinds on corrupt files
        raise _broken(file) from error
    finally:
        log.setLevel(level)
        if references.refused:
            raise references.refused


def _posed(
    file: Path, loaded, tree: dict | None, data: bytes, references: References
) -> tuple[list[tuple], Skeleton | None]:
    """Parts of a trimesh.Scene as `shapes` returns them: where bones move one, they place it."""
    parts = [(shape, transform, None) for shape, transform in parts_of(loaded, file)]
    if not (tree or {}).get("skins"):
        return parts, None
    try:
        binary = _chunks(data)[1] if file.suffix.lower() == ".glb" else b""
        skeleton = skeleton_of(tree, binary, references)
    except UNREADABLE:
        raise _broken(file) from None
    for n, (shape, _, _) in enumerate(parts if skeleton else []):
        skinned = skeleton.part(np.asarray(shape.vertices))
        if skinned is not None:
            shape.vertices = skinned.vertices
            parts[n] = (shape, np.eye(4), skinned)
    return parts, skeleton


def parts_of(loaded, file: Path) -> Iterator[tuple]:
    """Triangle meshes of a trimesh.Scene with their transforms [4, 4]."""
    import trimesh

    points = False
    for node in loaded.graph.nodes_geometry:
        transform, name = loaded.graph[node]
        shape = loaded.geometry[name]
        if isinstance(shape, trimesh.Trimesh) and len(shape.faces):
            flat = shape.vertices.shape[1:] != (3,)
            if flat or shape.faces.min() < 0 or shape.faces.max() >= len(shape.vertices):
                raise _broken(file)
            yield shape, np.asarray(transform)
        else:
            points |= len(getattr(shape, "vertices", ())) > 0
    if points and not any(len(getattr(g, "faces", ())) for g in loaded.geometry.values()):
        raise UserError(
            f"The mesh {file.name} holds points but no faces.",
            "Use a mesh with triangles, not a point cloud or Gaussians.",
        )


def _size(parts: list[tuple]) -> tuple[float, float]:
    """Longest side of the bounding box of all parts, and their area, in the file's units."""
    lows, highs, area = [], [], 0.0
    for shape, transform in parts:
        corners = transformed(shape.vertices, transform)[shape.faces]
        corners = corners[np.isfinite(corners).all((1, 2))]
        if len(corners):
            lows.append(corners.min((0, 1)))
            highs.append(corners.max((0, 1)))
            area += float(areas(corners).sum())
    if not lows:
        return 1.0, 1.0
    return float((np.max(highs, 0) - np.min(lows, 0)).max()), area


def _joined(pieces: list[tuple], file: Path) -> Mesh:
    """Join parts into one normalised mesh, Z up, without degenerate faces.

    Raises:
        UserError: no face is left.
    """
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
        faces = faces[areas(vertices[faces]) > MIN_AREA]
    if not len(faces):
        raise UserError(f"The mesh {file.name} has no surface.", "Export it again, with its faces.")
    return Mesh.from_arrays(vertices @ TO_GLTF, faces, colors.clip(0, 1))
