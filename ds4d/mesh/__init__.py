"""Views of one moment -> a coloured mesh, by one of several engines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config import MachineConfig, MeshConfig
from ..errors import UserError
from ..run.engines import Engine, identity, usable
from ..run.workspace import content_key
from .sampling import load_points_ply, sample_points, save_points_ply

__all__ = [
    "Mesh", "choose", "load_glb", "load_points_ply", "sample_points", "save_glb", "save_points_ply",
]  # fmt: skip

LEARNED_VIEWS = ("zero123plus",)  # engines whose views InstantMesh was trained on
INSTANTMESH_GB = 4.0  # of a GPU's memory

# glTF is Y up and its models face +Z; our world is Z up and the front view looks along +Y.
TO_GLTF = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Mesh:
    """A closed surface with M coloured vertices and F triangles, in our world (Z up)."""

    vertices: Tensor  # [M, 3] float32
    faces: Tensor  # [F, 3] int64, anticlockwise seen from outside
    colors: Tensor  # [M, 3] float32 in [0, 1], sRGB


def choose(
    config: MeshConfig,
    machine: MachineConfig,
    views_engine: str,
    surface: Path,  # the file of what the views were drawn from; it may not exist
) -> Engine:
    """The engine; its run(images [V, S, S, 4], cameras, resolution) returns a Mesh.

    "auto" takes the mesh that a person brought, else InstantMesh where it can run and the six
    views are of the kind that it was trained on, else the surface that the views were drawn from,
    else carves.

    Raises:
        UserError: a mesh was asked for that was not given, or does not exist.
    """
    file = Path(config.file)
    if config.engine == "given" and not config.file:
        raise UserError("No mesh was given.", "Name its file with --mesh FILE.")
    if config.file and config.engine in ("auto", "given"):
        from . import given

        if not file.is_file():
            raise UserError(f"There is no mesh {config.file}.", "Check the path.")
        return Engine("given", file.name, partial(given.run, file=file), (content_key(file),))
    weights = (f"instantmesh-{config.model}",)
    fine, why = config.engine == "instantmesh", "asked for"
    if config.engine == "auto" and views_engine not in LEARNED_VIEWS:
        why = f"InstantMesh is not for the views of {views_engine}"
    elif config.engine == "auto":
        fine, why = usable(weights, machine, gpu_gb=INSTANTMESH_GB)
    if fine:
        from . import instantmesh

        run = partial(instantmesh.run, model=config.model, machine=machine)
        return Engine("instantmesh", why, run, identity(weights, machine), weights)
    if config.engine == "inflated" and not surface.exists():
        raise UserError(
            "These views were not drawn from a surface.",
            "Choose the mesh engine visual_hull: it carves one.",
        )
    if surface.exists() and config.engine in ("auto", "inflated"):
        from . import from_inflation

        return Engine("inflated", why, partial(from_inflation.run, file=surface))
    from . import visual_hull

    return Engine("visual_hull", why, visual_hull.run)


def save_glb(path: Path, mesh: Mesh) -> None:
    """Write a binary glTF that stands upright in a viewer and faces it with its front.

    glTF wants linear vertex colours. The material is unlit: the colours already hold the light
    of the clip.
    """
    import trimesh

    colors = np.round(_linear(mesh.colors.numpy()) * 255).astype(np.uint8)
    shape = trimesh.Trimesh(
        mesh.vertices.numpy() @ TO_GLTF.T, mesh.faces.numpy(), vertex_colors=colors, process=False
    )
    Path(path).write_bytes(trimesh.exchange.gltf.export_glb(shape, tree_postprocessor=_make_unlit))


def load_glb(path: Path) -> Mesh:
    """The mesh of a binary glTF that `save_glb` wrote."""
    import trimesh

    # With a material, trimesh would take the mesh for a textured one.
    shape = trimesh.load_mesh(path, file_type="glb", process=False, skip_materials=True)
    colors = _srgb(shape.visual.vertex_colors[:, :3].astype(np.float32) / 255)
    return Mesh(
        torch.from_numpy((shape.vertices @ TO_GLTF).astype(np.float32)),
        torch.from_numpy(np.array(shape.faces, dtype=np.int64)),
        torch.from_numpy(colors.astype(np.float32)),
    )


def _make_unlit(tree: dict) -> None:
    unlit = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    tree["materials"] = [{"pbrMetallicRoughness": unlit, "extensions": {"KHR_materials_unlit": {}}}]
    tree["extensionsUsed"] = ["KHR_materials_unlit"]
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            primitive["material"] = 0


def _linear(srgb: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, from sRGB to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _srgb(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, from linear light to sRGB."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
