"""Binary glTF 2.0 files: arrays in one buffer, and the tree that describes them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

FLOAT, BYTE, SHORT, INT = 5126, 5121, 5123, 5125  # component types; integers are unsigned
TYPES = {FLOAT: "<f4", BYTE: "<u1", SHORT: "<u2", INT: "<u4"}
KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
VERTICES, INDICES = 34962, 34963  # buffer view targets
RESTART = 65535  # 16-bit index with a meaning of its own


class Buffer:
    """Binary buffer of a file under construction, with the accessors that point into it."""

    def __init__(self):
        self.data = bytearray()
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(
        self,
        values: np.ndarray,  # [K] or [K, width]; matrices [K, 16] by columns
        component: int = FLOAT,
        target: int | None = None,
        limits: bool = False,  # also state the smallest and largest values
        normalized: bool = False,
    ) -> int:
        """Append an array; returns the index of its accessor."""
        values = np.ascontiguousarray(values, TYPES[component])
        columns = values.reshape(len(values), -1)
        entry = {
            "bufferView": self.view(values.tobytes(), target),
            "componentType": component,
            "count": len(values),
            "type": KINDS[columns.shape[1]],
        }
        if normalized:
            entry["normalized"] = True
        if limits:
            entry |= {"min": columns.min(0).tolist(), "max": columns.max(0).tolist()}
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def indices(self, faces: np.ndarray) -> int:
        """Append the vertex indices of triangles [F, 3]; returns the index of their accessor."""
        component = SHORT if faces.max() < RESTART else INT
        return self.add(faces.ravel(), component, INDICES)

    def view(self, data: bytes, target: int | None = None) -> int:
        """Append bytes; returns the index of their buffer view."""
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        self.views.append(view | ({} if target is None else {"target": target}))
        self.data += data + bytes(-len(data) % 4)
        return len(self.views) - 1

    def save(self, path: Path, tree: dict[str, Any]) -> None:
        """Write the glTF tree, completed by accessors and buffer views, and the binary buffer."""
        tree = {
            "asset": {"version": "2.0", "generator": "DS4D"},
            **{key: value for key, value in tree.items() if value != []},
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
