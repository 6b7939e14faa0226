"""Texture of a moving mesh: an atlas by xatlas, baked from images of all frames and views.

A texel takes the weighted mean of all pixels that show it: the more a surface faces a camera, and
the more its image can be trusted, the more it counts. Texels that no image shows take the colours
of the nearest places to the corners of their face that one shows.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from ..cameras import Cameras
from ..kernels.numba import njit
from ..mesh.mesh import Mesh
from ..mesh.visibility import hits
from ..run.parallel import each
from .evidence import Evidence
from .geometry import Surface, vertex_normals

PADDING = 4  # texels between charts, which repeat the colours of their edges
DEPTH_TOLERANCE = 0.01  # world units behind the visible surface at which a point is still seen
RIM = 2  # pixels inside a silhouette that are not used: they show the background, too
MIN_COSINE = 0.2  # between a surface's normal and the way to the camera; less is too slanted
SHARPNESS = 4  # exponent of that cosine in the weight of a pixel
KNOWN_PLACES = 50_000  # of seen texels, among which the nearest to a vertex is looked for
QUALITY = 92  # of the JPEG file


@dataclass(frozen=True)
class Atlas:
    """Flattened mesh. Vertices on seams have several places in the texture."""

    vertex: np.ndarray  # [K] index of the mesh's vertex
    faces: np.ndarray  # [F, 3] indices below K, the mesh's faces in their order
    uv: np.ndarray  # [K, 2] in [0, 1], (0, 0) is the upper left corner


def unwrap(surface: Surface, size: int) -> Atlas:
    """Cut a surface into charts and pack them into a square of `size` texels."""
    import xatlas

    maker = xatlas.Atlas()
    maker.add_mesh(surface.vertices.astype(np.float32), surface.faces.astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding, packing.bilinear = size, PADDING, True
    maker.generate(pack_options=packing)
    vertex, faces, uv = maker[0]
    return Atlas(vertex.astype(np.int64), faces.astype(np.int64), uv.astype(np.float64))


def bake(
    atlas: Atlas,
    vertices: np.ndarray,  # [T, M, 3] of the mesh that was unwrapped
    shape: np.ndarray,  # [M, 3] in which unseen places take the colour of near ones
    evidence: Evidence,  # of these frames
    size: int,  # of the texture, texels
    visible: Sequence[np.ndarray | None] | None = None,  # T, of `visible_faces`, if they are known
) -> np.ndarray:
    """Texture [size, size, 3] uint8, sRGB."""
    face, corner_weights = _texels(atlas, size)
    inside = face >= 0
    corners = atlas.vertex[atlas.faces[face[inside]]]  # [K, 3] of each texel inside a chart
    weights = corner_weights[inside]
    faces = atlas.vertex[atlas.faces]
    cameras, trust = evidence.cameras, evidence.trust
    matrices = (cameras.Ks.double() @ cameras.viewmats[:, :3].double()).numpy()
    centres = cameras.centres().double().numpy()

    def seen_in(places: np.ndarray, images: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        depth = hits(mesh_of(places, faces), cameras, known).depth
        sums = np.zeros((len(corners), 4))
        _gather(
            corners, weights, places, vertex_normals(places, faces), images, _trimmed(images),
            depth, matrices, centres, trust, sums,
        )  # fmt: skip
        return sums

    sums = np.zeros((len(corners), 4))
    for of_frame in each(seen_in, vertices, evidence.images, visible or [None] * len(vertices)):
        sums += of_frame
    seen = sums[:, 3] > 1e-6
    colors = sums[:, :3] / np.maximum(sums[:, 3:], 1e-6)
    if seen.any():
        known = np.flatnonzero(seen)[:: max(1, int(seen.sum()) // KNOWN_PLACES)]
        places = (weights[known, :, None] * shape[corners[known]]).sum(1)
        _, nearest = cKDTree(places).query(shape)
        near = colors[known[nearest]]  # of each vertex
        colors[~seen] = (weights[~seen][..., None] * near[corners[~seen]]).sum(1)
    texture = np.zeros((size, size, 3), np.uint8)
    texture[inside] = np.round(colors.clip(0, 1) * 255)
    rows, columns = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return texture[rows, columns]


def mesh_of(places: np.ndarray, faces: np.ndarray) -> Mesh:
    """A mesh without colours of vertices [M, 3] and faces [F, 3]."""
    vertices = torch.from_numpy(places.astype(np.float32))
    return Mesh(vertices, torch.from_numpy(faces), torch.zeros(0, 3))


def jpeg(texture: np.ndarray) -> bytes:
    """Texture [S, S, 3] uint8 as a JPEG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(texture).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()


def _texels(atlas: Atlas, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Face of each texel, -1 for none, [size, size], and weights of its corners [size, size, 3]."""
    flat = np.concatenate([atlas.uv * size, np.ones((len(atlas.uv), 1))], 1)
    # A camera in whose image the vertex (u, v, 1) appears at the pixel (u, v).
    straight = Cameras(torch.eye(4)[None], torch.eye(3)[None], size, size)
    mesh = Mesh(torch.from_numpy(flat).float(), torch.from_numpy(atlas.faces), torch.zeros(0, 3))
    found = hits(mesh, straight)
    return found.faces[0], found.weights[0].astype(np.float64)


def _trimmed(views: np.ndarray) -> np.ndarray:
    """Pixels [V, S, S] inside the silhouettes of views [V, S, S, 4], without their rim."""
    kernel = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
    solid = (views[..., 3] > 127).astype(np.uint8)
    return np.stack([cv2.erode(mask, kernel) for mask in solid]) > 0


@njit(cache=True, error_model="numpy", fastmath=True, nogil=True)
def _gather(
    corners, weights, vertices, normals, images, shown, depth, matrices, centres, trust, sums
):  # fmt: skip
    """Add the pixels of one frame that show each texel to its sums [K, 4] of colour and weight."""
    size = images.shape[1]
    for k in range(len(corners)):
        px = py = pz = nx = ny = nz = 0.0
        for c in range(3):
            m, w = corners[k, c], weights[k, c]
            px += w * vertices[m, 0]
            py += w * vertices[m, 1]
            pz += w * vertices[m, 2]
            nx += w * normals[m, 0]
            ny += w * normals[m, 1]
            nz += w * normals[m, 2]
        for v in range(len(images)):
            dx, dy, dz = centres[v, 0] - px, centres[v, 1] - py, centres[v, 2] - pz
            length = np.sqrt((dx * dx + dy * dy + dz * dz) * (nx * nx + ny * ny + nz * nz))
            cosine = (dx * nx + dy * ny + dz * nz) / max(length, 1e-12)
            if cosine < MIN_COSINE:
                continue
            P = matrices[v]
            d = P[2, 0] * px + P[2, 1] * py + P[2, 2] * pz + P[2, 3]
            x = (P[0, 0] * px + P[0, 1] * py + P[0, 2] * pz + P[0, 3]) / d
            y = (P[1, 0] * px + P[1, 1] * py + P[1, 2] * pz + P[1, 3]) / d
            column, row = int(np.floor(x)), int(np.floor(y))
            if not (0 <= column < size and 0 <= row < size) or not shown[v, row, column]:
                continue
            if d > depth[v, row, column] + DEPTH_TOLERANCE:
                continue
            left, top = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
            left, top = min(max(left, 0), size - 2), min(max(top, 0), size - 2)
            fx, fy = x - 0.5 - left, y - 0.5 - top
            weight = trust[v] * cosine**SHARPNESS
            r = g = b = 0.0
            for i in range(2):
                for j in range(2):
                    part = (fy if i else 1 - fy) * (fx if j else 1 - fx) / 255
                    r += part * images[v, top + i, left + j, 0]
                    g += part * images[v, top + i, left + j, 1]
                    b += part * images[v, top + i, left + j, 2]
            sums[k, 0] += weight * r
            sums[k, 1] += weight * g
            sums[k, 2] += weight * b
            sums[k, 3] += weight
