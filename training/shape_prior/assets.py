"""Open 3D objects to train on: reading, the split, and points on their surfaces.

The objects are stored as README.md describes. Objects of the file `held_out.json` are for
validation alone; an object with the name of one of them is not trained on either.
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

HELD_OUT = Path(__file__).with_name("held_out.json")
UNIT = 4095  # stored vertex coordinates per world unit
CLIP_POSES = 8  # moments of a stored clip


@dataclass(frozen=True)
class Asset:
    """A triangle mesh in one or more poses, +Z up, facing -Y, in the sphere of radius 0.5."""

    name: str
    category: str
    about: dict  # author, licence, repo, path, ...
    poses: np.ndarray  # [P, V, 3] float32
    clips: int  # the poses are this many clips of CLIP_POSES moments in order; 0 = unordered
    faces: np.ndarray  # [F, 3] int64
    face_colors: np.ndarray  # [F, 3] uint8, multiplied by the texture where there is one
    uvs: np.ndarray | None  # [V, 2] float32
    face_cells: np.ndarray | None  # [F] cell of the texture atlas, 255 = none
    atlas: np.ndarray | None  # [A, A, 3] uint8
    cells: int = 0  # the atlas has cells x cells cells

    @property
    def key(self) -> str:
        """Name that is unique among all assets."""
        return f"{self.about['repo']}/{self.about['path']}"


def read_assets(file: Path) -> Iterator[Asset]:
    """Objects of one .npz file, in order.

    Arrays are byte planes under xz; vertices are int16, faces and poses differences.
    """
    stored = np.load(file)

    def unpacked(name: str) -> np.ndarray:
        return np.frombuffer(lzma.decompress(stored[name].tobytes()), np.uint8)

    def words(name: str) -> np.ndarray:
        return np.ascontiguousarray(unpacked(name).reshape(2, -1).T).view("<u2").ravel()

    records = json.loads(stored["objects"].tobytes())
    vertices = np.ascontiguousarray(words("vertices").view(np.int16).reshape(3, -1).T)
    faces = (words("faces").view(np.int16).astype(np.int64).cumsum() & 0xFFFF).reshape(-1, 3)
    colors = np.ascontiguousarray(unpacked("face_colors").reshape(3, -1).T)
    uvs = words("uvs").view(np.float16).astype(np.float32).reshape(-1, 2)
    cells, jpegs = unpacked("face_cells"), stored["jpegs"].tobytes()
    v = f = u = c = j = 0
    for record in records:
        P, V, F = record["poses"], record["vertices"], record["faces"]
        steps = vertices[v : v + P * V].reshape(P, V, 3).astype(np.int32)
        textured = record["cells"] > 0
        jpeg = jpegs[j : j + record["jpeg_bytes"]]
        yield Asset(
            name=record["name"],
            category=record["category"],
            about=record,
            poses=steps.cumsum(0).astype(np.int16).astype(np.float32) / UNIT,
            clips=len(record.get("clips", ())),
            faces=faces[f : f + F],
            face_colors=colors[f : f + F],
            uvs=uvs[u : u + V] if textured else None,
            face_cells=cells[c : c + F] if textured else None,
            atlas=np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")) if jpeg else None,
            cells=record["cells"],
        )
        v, f, j = v + P * V, f + F, j + record["jpeg_bytes"]
        if textured:
            u, c = u + V, c + F


def read_folder(folder: Path) -> list[Asset]:
    """All objects of a folder; an animated one's clips are taken and its still poses left out."""
    found: dict[str, Asset] = {}
    for file in sorted(folder.glob("clips_*.npz")) + sorted(folder.glob("objects_*.npz")):
        for asset in read_assets(file):
            found.setdefault(asset.key, asset)
    return list(found.values())


def split(assets: list[Asset]) -> tuple[list[Asset], list[Asset]]:
    """Objects to train on and held-out objects."""
    keys = set(json.loads(HELD_OUT.read_text()))
    held_out = [asset for asset in assets if asset.key in keys]
    names = {asset.name for asset in held_out}
    return [asset for asset in assets if asset.name not in names], held_out


def surface_points(
    asset: Asset, count: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor, Tensor]:
    """Points evenly over the area of the first pose: corners [N, 3] int64 of each point's triangle
    (indices of vertices), barycentric weights [N, 3] float32 and colours [N, 3] uint8.

    Triangles are drawn by stratified sampling, points inside them by an additive recurrence (R2:
    Roberts 2018), which leaves smaller holes than independent draws.
    """
    vertices = torch.from_numpy(asset.poses[0]).to(device, torch.float64)
    faces = torch.from_numpy(asset.faces).to(device)
    a, b, c = vertices[faces].unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=1) + 1e-12
    index = torch.arange(count, device=device, dtype=torch.float64)
    upto = area.cumsum(0)
    face = torch.searchsorted(upto / upto[-1], (index + 0.5) / count).clamp(max=len(area) - 1)
    s, t = (0.5 + index * 0.7548776662466927) % 1, (0.5 + index * 0.5698402909980532) % 1
    beyond = s + t > 1
    s, t = torch.where(beyond, 1 - s, s), torch.where(beyond, 1 - t, t)
    weights = torch.stack([1 - s - t, s, t], 1).float()
    corners = faces[face]
    colors = torch.from_numpy(asset.face_colors).to(device)[face].float()
    if asset.atlas is not None:
        colors = colors * texture_colors(asset, face, corners, weights) / 255
    return corners, weights, colors.round().byte()


def texture_colors(asset: Asset, face: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """Texture colours [N, 3] of points, white where their triangle has none."""
    uvs, cells, atlas = (
        torch.from_numpy(x.copy()).to(face.device)
        for x in (asset.uvs, asset.face_cells, asset.atlas)
    )
    uv = (uvs[corners] * weights[..., None]).sum(1)
    cell = cells[face].long()
    side = len(atlas) // asset.cells
    within = (uv % 1 * side).long().clamp(0, side - 1)
    has = cell < asset.cells**2
    cell = torch.where(has, cell, 0)
    row, column = cell // asset.cells * side, cell % asset.cells * side
    texels = atlas[row + within[:, 1], column + within[:, 0]]
    return torch.where(has[:, None], texels, 255)
