"""Mesh and point cloud files of a run folder: binary glTF, NumPy archive, PLY."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, reading
from .mesh import Mesh

# glTF is Y up and its models face +Z; our world is Z up and the front view looks along +Y.
TO_GLTF = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
UNLIT = "KHR_materials_unlit"  # a glTF extension: colours contain the light already
PLY_POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
)
PLY_TYPES = {"<f4": "float", "|u1": "uchar"}


def save_glb(path: Path, mesh: Mesh) -> None:
    """Write a binary glTF that stands upright in a viewer and faces the camera.

    Vertex colours are linear, as glTF defines them. The material is unlit, because the colours
    already contain the lighting of the clip.
    """
    import trimesh

    colors = np.round(srgb_to_linear(mesh.colors.numpy()) * 255).astype(np.uint8)
    shape = trimesh.Trimesh(
        mesh.vertices.numpy() @ TO_GLTF.T, mesh.faces.numpy(), vertex_colors=colors, process=False
    )
    Path(path).write_bytes(trimesh.exchange.gltf.export_glb(shape, tree_postprocessor=_make_unlit))


def load_glb(path: Path) -> Mesh:
    """Read a mesh that `save_glb` wrote."""
    import trimesh

    # With a material, trimesh would treat the mesh as textured.
    shape = trimesh.load_mesh(path, file_type="glb", process=False, skip_materials=True)
    colors = linear_to_srgb(shape.visual.vertex_colors[:, :3].astype(np.float32) / 255)
    return Mesh(
        torch.from_numpy((shape.vertices @ TO_GLTF).astype(np.float32)),
        torch.from_numpy(np.array(shape.faces, dtype=np.int64)),
        torch.from_numpy(colors.astype(np.float32)),
    )


def save_npz(path: Path, mesh: Mesh) -> None:
    """Write a mesh as a NumPy archive of vertices, faces and colors, without loss."""
    np.savez_compressed(path, **{name: part.numpy() for name, part in vars(mesh).items()})


def load_npz(path: Path) -> Mesh:
    """Read a mesh that `save_npz` wrote."""
    with reading(path), np.load(path) as file:
        return Mesh(*(torch.from_numpy(file[name]) for name in ("vertices", "faces", "colors")))


def save_points_ply(
    path: Path,
    points: Tensor,  # [N, 3] world coordinates
    colors: Tensor,  # [N, 3] in [0, 1]
) -> None:
    """Write a binary little-endian PLY with float positions and uchar colours."""
    table = np.empty(len(points), PLY_POINT)
    levels = (colors.clamp(0, 1) * 255).round().to(torch.uint8)
    for values, names in ((points, "xyz"), (levels, ("red", "green", "blue"))):
        for name, column in zip(names, values.cpu().numpy().T, strict=True):
            table[name] = column
    Path(path).write_bytes(_ply_header(len(table)) + table.tobytes())


def load_points_ply(path: Path) -> tuple[Tensor, Tensor]:
    """Read points [N, 3] and colours [N, 3] in [0, 1] that `save_points_ply` wrote.

    Raises:
        UserError: the file was written by another program, or is incomplete.
    """
    data = Path(path).read_bytes()
    body = data.find(b"end_header\n") + len(b"end_header\n")
    count, rest = divmod(len(data) - body, PLY_POINT.itemsize)
    if rest or data[:body] != _ply_header(count):
        raise UserError(
            f"{Path(path).name} is not a point cloud of this program, or it is incomplete.",
            "Delete it: the next run makes it again.",
        )
    table = np.frombuffer(data, PLY_POINT, offset=body)
    points = np.stack([table[name] for name in "xyz"], -1)
    colors = np.stack([table[name] for name in ("red", "green", "blue")], -1)
    return torch.from_numpy(points), torch.from_numpy(colors).float() / 255


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] of sRGB values in [0, 1] (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """sRGB values in [0, 1] of linear light in [0, 1] (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def _make_unlit(tree: dict) -> None:
    """Give every primitive of a glTF tree one unlit material."""
    unlit = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    tree["materials"] = [{"pbrMetallicRoughness": unlit, "extensions": {UNLIT: {}}}]
    tree["extensionsUsed"] = [UNLIT]
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            primitive["material"] = 0


def _ply_header(count: int) -> bytes:
    properties = [f"property {PLY_TYPES[kind]} {name}" for name, kind in PLY_POINT.descr]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {count}", *properties]
    return "\n".join([*lines, "end_header\n"]).encode()
