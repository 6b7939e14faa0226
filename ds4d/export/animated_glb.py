"""An animated binary glTF: a coloured mesh for each frame, shown one after the other.

Only what glTF 2.0 itself has is used (scales that jump between 0 and 1), so it plays in modelling
programs and on the web alike.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..mesh import TO_GLTF, Mesh, _linear
from ..splatting.splats import Splats
from .context import Scene
from .density_mesh import surface

NAME = "exports/animated.glb"
CELLS = 80  # of the grid along the world's unit, which is about the object's longest side
MOST_VERTICES = 8000  # in one frame, about; larger meshes get a coarser grid

FLOAT, USHORT, UINT = 5126, 5123, 5125  # component types
VERTICES, INDICES = 34962, 34963  # targets of buffer views


def write(scene: Scene) -> Iterator[str]:
    """Write exports/animated.glb. The middle frame is what a viewer without animations shows."""
    frames = list(scene.frames())
    middle = len(frames) // 2
    cell = _cell(frames[middle])
    meshes = []
    for splats in frames:
        meshes.append(surface(splats, cell))
        yield NAME
    with scene.workspace.replacing(NAME) as path:
        write_animated_glb(path, meshes, scene.times, scene.seconds, middle)
    yield NAME


def _cell(splats: Splats) -> float:
    """Cells that give the mesh of these Gaussians not too many vertices, world units."""
    vertices = surface(splats, 1 / CELLS).vertices
    return max(1.0, math.sqrt(len(vertices) / MOST_VERTICES)) / CELLS


def write_animated_glb(
    path: Path,
    meshes: Sequence[Mesh],  # T
    times: Sequence[float],  # [T] when each one is right, seconds, increasing from 0
    seconds: float,  # how long it plays
    still: int,  # the mesh that is seen where nothing moves
) -> None:
    """Write the meshes as nodes of one glTF; each is seen while it is the nearest in time.

    The axes are glTF's (Y up, the front towards +Z). Colours are linear, the material is unlit.
    """
    gltf = _Gltf()
    borders = [0.0, *((a + b) / 2 for a, b in zip(times, times[1:], strict=False)), seconds]
    channels, samplers, nodes, shapes = [], [], [], []
    for number, mesh in enumerate(meshes):
        if not len(mesh.faces):
            continue
        keys = sorted({0.0, *borders[number : number + 2], seconds})
        shown = [float(borders[number] <= key < borders[number + 1]) for key in keys]
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


def _primitive(gltf: _Gltf, mesh: Mesh) -> dict[str, Any]:
    vertices = mesh.vertices.numpy() @ TO_GLTF.T
    colors = np.ones((len(vertices), 4))
    colors[:, :3] = _linear(mesh.colors.numpy())
    small = len(vertices) < 65535  # the largest number stands for "restart"
    kind, width = (USHORT, "<u2") if small else (UINT, "<u4")
    faces = mesh.faces.numpy().astype(width).ravel()
    return {
        "attributes": {
            "POSITION": gltf.accessor(vertices, FLOAT, "VEC3", VERTICES, limits=True),
            # 16 bits: with 8 the dark colours of linear light would be stripes.
            "COLOR_0": gltf.accessor(np.round(colors * 65535), USHORT, "VEC4", VERTICES),
        },
        "indices": gltf.accessor(faces, kind, "SCALAR", INDICES),
        "material": 0,
    }


class _Gltf:
    """The binary part of a file as it grows, and the accessors that point into it."""

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
        """Append an array; returns the number of its accessor."""
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
        """Write the tree, completed by what the accessors need, and the binary part."""
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
