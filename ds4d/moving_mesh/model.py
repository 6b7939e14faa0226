"""A mesh of one topology in all frames of a clip, with its materials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Surface


def media_type(image: bytes) -> str:
    """Media type of an encoded PNG or JPEG file."""
    return "image/png" if image[:4] == b"\x89PNG" else "image/jpeg"


@dataclass(frozen=True)
class Material:
    """Base colour of a part: a texture, or a flat colour."""

    image: bytes | None = None  # an encoded PNG or JPEG file, sRGB
    others: tuple[tuple[str, bytes], ...] = ()  # glTF's names of further textures, PNG files
    metallic: float = 0.0
    roughness: float = 1.0
    glow: tuple[float, ...] = (0.0, 0.0, 0.0)  # linear RGB of emitted light
    color: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)  # linear RGBA, multiplied with the texture
    unlit: bool = False  # the colours contain the light already
    two_sided: bool = False


@dataclass(frozen=True)
class Part:
    """Triangles of one material; vertices `start` to `stop` of the mesh are its own."""

    start: int
    stop: int
    faces: np.ndarray  # [F, 3], counted from `start`
    material: Material
    uv: np.ndarray | None = None  # [stop - start, 2], (0, 0) is the upper left corner of the image
    colors: np.ndarray | None = None  # [stop - start, 4] linear, in [0, 1]


@dataclass(frozen=True)
class Rig:
    """B bones and their influence on M vertices."""

    names: tuple[str, ...]
    parents: np.ndarray  # [B] index of each bone's parent, which stands before it, -1 for none
    poses: np.ndarray  # [B, 4, 4] of each bone in the rest pose, rigid, world
    bones: np.ndarray  # [M, 4] index of each vertex's bones
    weights: np.ndarray  # [M, 4] theirs, sum 1, 0 where there are fewer


@dataclass(frozen=True)
class MovingMesh:
    """M vertices in T frames; parts, faces and uv are those of all frames."""

    vertices: np.ndarray  # [T, M, 3] float64, world coordinates
    parts: tuple[Part, ...]
    rest: int  # the frame in which the mesh was made
    rig: Rig | None = None  # the skeleton that a given mesh brings

    @property
    def faces(self) -> np.ndarray:
        """Triangles of all parts, [F, 3] indices of the mesh's vertices."""
        return np.concatenate([part.faces + part.start for part in self.parts])

    def surface(self, frame: int) -> Surface:
        """The mesh at a frame."""
        return Surface(self.vertices[frame], self.faces)
