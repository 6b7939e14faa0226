"""Animated binary glTF: one coloured mesh per frame, toggled by animated node scales of 0 and 1.

Only core glTF 2.0 animation is used, so the file plays in modelling programs and on the web.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..mesh.io import TO_GLTF, srgb_to_linear
from ..mesh.mesh import Mesh
from ..splatting.splats import Splats
from .context import ExportContext
from .density_mesh import density_mesh

NAME = "exports/animated.glb"
CELLS = 80  # grid cells per world unit, which is roughly the object's longest side
MAX_VERTICES = 8000  # per frame, roughly; denser meshes get a coarser grid

FLOAT, USHORT, UINT = 5126, 5123, 5125  # glTF component types
VERTICES, INDICES = 34962, 34963  # glTF buffer view targets


def write(context: ExportContext) -> Iterator[str]:
    """Write exports/animated.glb. Viewers without animation show the middle frame."""
    frames = list(context.frames())
    middle = len(frames) // 2
    cell = _cell(frames[middle])
    meshes = []
    for splats in frames:
        meshes.append(density_mesh(splats, cell))
        yield NAME
    with context.workspace.replacing(NAME) as path:
        write_animated_glb(path, meshes, context.times, context.seconds, middle)
    yield NAME


def _cell(splats: Splats) -> float:
    """Grid spacing that keeps the mesh near MAX_VERTICES, world units."""
    vertices = density_mesh(splats, 1 / CELLS).vertices
    return max(1.0, math.sqrt(len(vertices) / MAX_VERTICES)) / CELLS


def write_animated_glb(
    path: Path,
    meshes: Sequence[Mesh],  # T
    times: Sequence[float],  # [T] time of each mesh, seconds, increasing from 0
    seconds: float,  # duration of the animation
    still: int,  # index of the mesh that viewers without animation show
) -> None:
    """Write the meshes as nodes of one glTF; each is visible while it is the nearest in time.

    Axes follow glTF (Y up, front towards +Z); colours are linear, the material is unlit.
    """
    gltf = _GltfBuilder()
    boundaries = [0.0, *((a + b) / 2 for a, b in zip(times, times[1:], strict=False)), seconds]
    channels, samplers, nodes, shapes = [], [], [], []
    for number, mesh in enumerate(meshes):
        if not len(mesh.faces):
            continue
        keys = sorted({0.0, *boundaries[number : number + 2], seconds})
        shown = [float(boundaries[number] <= key < boundaries[number + 1]) for key in keys]
        if number == len(meshes) - 1:
            shown[-1] = 1.0
        samplers.append(
            {
                "input": gltf.accessor(np.array(keys, "<f4"), FLOAT, "SCALAR", limits=True),
                "output": gltf.accessor(np.repeat(shown, 3).reshape(-1, 3), FLOAT, "VEC3"),
                "interpolation": "STEP",
            }
        )
        target = {"node": len(nodes) + 1, "path": "scale"}
        channels.append({"sampler": len(samplers) - 1, "target": target})
        name = f"frame_{number + 1:04d}"
        nodes.append({"name": name, "mesh": len(shapes), "scale": [float(number == still)] * 3})
        shapes.append({"name": name, "primitives": [_primitive(gltf, mesh)]})
    gltf.save(
        path,
        {
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"name": "DS4D", "children": list(range(1, len(nodes) + 1))}, *nodes],
            "meshes": shapes,
            "materials": [
                {
                    "name": "unlit",
                    "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0},
                    "extensions": {"KHR_materials_unlit": {}},
                }
            ],
            "extensionsUsed": ["KHR_materials_unlit"],
            "animations": [{"name": "clip", "channels": channels, "samplers": samplers}],
        },
    )


def _primitive(gltf: _GltfBuilder, mesh: Mesh) -> dict[str, Any]:
    vertices = mesh.vertices.numpy() @ TO_GLTF.T
    colors = np.ones((len(vertices), 4))
    colors[:, :3] = srgb_to_linear(mesh.colors.numpy())
    small = len(vertices) < 65535  # 65535 itself means "primitive restart"
    kind, width = (USHORT, "<u2") if small else (UINT, "<u4")
    faces = mesh.faces.numpy().astype(width).ravel()
    return {
        "attributes": {
            "POSITION": gltf.accessor(vertices, FLOAT, "VEC3", VERTICES, limits=True),
            # 16 bits: with 8, dark colours in linear light would show banding.
            "COLOR_0": gltf.accessor(np.round(colors * 65535), USHORT, "VEC4", VERTICES),
        },
        "indices": gltf.accessor(faces, kind, "SCALAR", INDICES),
        "material": 0,
    }


class _GltfBuilder:
    """Binary buffer of a file under construction, with the accessors that point into it."""

    TYPES = {FLOAT: "<f4", USHORT: "<u2", UINT: "<u4"}

    def __init__(self):
        self.data = bytearray()
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []

    def accessor(
        self,
        values: np.ndarray,  # [K] or [K, width]
        component: int,
        kind: str,
        target: int | None = None,
        limits: bool = False,
    ) -> int:
        """Append an array; returns the index of its accessor."""
        values = values.astype(self.TYPES[component])
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": values.nbytes}
        self.views.append(view | ({} if target is None else {"target": target}))
        self.data += values.tobytes() + bytes(-values.nbytes % 4)
        entry = {
            "bufferView": len(self.views) - 1,
            "componentType": component,
            "count": len(values),
            "type": kind,
        }
        if component == USHORT and kind == "VEC4":
            entry["normalized"] = True
        if limits:
            columns = values.reshape(len(values), -1)
            entry |= {"min": columns.min(0).tolist(), "max": columns.max(0).tolist()}
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def save(self, path: Path, tree: dict[str, Any]) -> None:
        """Write the glTF tree, completed by accessors and buffer views, and the binary buffer."""
        tree = {
            "asset": {"version": "2.0", "generator": "DS4D"},
            **tree,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.data)}],
        }
        text = json.dumps(tree, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        length = 12 + 8 + len(text) + 8 + len(self.data)
        path.write_bytes(
            struct.pack("<4sII", b"glTF", 2, length)
            + struct.pack("<I4s", len(text), b"JSON")
            + text
            + struct.pack("<I4s", len(self.data), b"BIN\0")
            + self.data
        )
