"""Drawing of a deformed cut-out: every pixel looks up its place in the picture."""

from __future__ import annotations

import cv2
import numpy as np

from .mesh import Mesh

FINER = 2  # times the size at which frames are drawn, before they are reduced
SHIFT = 4  # bits of subpixel positions


class Painter:
    """Draws one cut-out with its mesh deformed, layer over layer."""

    def __init__(
        self,
        picture: np.ndarray,  # [H, W, 4] uint8, straight alpha, colours extended outward
        mesh: Mesh,
        layers: np.ndarray,  # [F] integer of each triangle; higher ones are in front
    ):
        straight = picture.astype(np.float32) / 255
        self.texture = np.dstack([straight[..., :3] * straight[..., 3:], straight[..., 3]])
        self.mesh = mesh
        corners = mesh.vertices[mesh.triangles].round().astype(int)
        limit = np.array(picture.shape[1::-1]) - 1
        x, y = corners.clip(0, limit).transpose(2, 0, 1)
        opacity = picture[..., 3][y, x].min(1)
        # Where parts of a layer overlap, solid triangles are in front of clear ones at the edge.
        order = np.lexsort((opacity, layers))
        self.layers = [order[layers[order] == layer] for layer in np.unique(layers)]

    def frame(self, vertices: np.ndarray, size: int) -> np.ndarray:
        """Draw the mesh with vertices [V, 2] at pixels of a frame [S, S, 4] uint8."""
        fine = size * FINER
        corners = vertices[self.mesh.triangles] * FINER  # [F, 3, 2]
        maps = self._inverse(corners)
        fixed = ((corners - 0.5) * 2**SHIFT).round().astype(np.int32)
        result = np.zeros((fine, fine, 4), np.float32)
        rows, columns = np.mgrid[:fine, :fine].astype(np.float32) + 0.5
        for layer in self.layers:
            owner = np.full((fine, fine), -1, np.int32)
            for triangle in layer:
                cv2.fillConvexPoly(owner, fixed[triangle], int(triangle), shift=SHIFT)
            covered = owner >= 0
            at = maps[owner[covered]]  # [P, 2, 3]
            place = (
                at[..., 0] * columns[covered, None] + at[..., 1] * rows[covered, None] + at[..., 2]
            )
            where = np.full((fine, fine, 2), -10, np.float32)
            where[covered] = place - 0.5
            drawn = cv2.remap(self.texture, where[..., 0], where[..., 1], cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_CONSTANT)  # fmt: skip
            result = drawn + (1 - drawn[..., 3:]) * result
        small = cv2.resize(result, (size, size), interpolation=cv2.INTER_AREA)
        opacity = small[..., 3:]
        straight = np.dstack([small[..., :3] / np.maximum(opacity, 1 / 512), opacity])
        return (straight.clip(0, 1) * 255 + 0.5).astype(np.uint8)

    def _inverse(self, corners: np.ndarray) -> np.ndarray:
        """Affine maps [F, 2, 3] from the drawn triangles [F, 3, 2] back to the picture."""
        ones = np.ones((*corners.shape[:2], 1))
        system = np.concatenate([corners, ones], -1)  # [F, 3, 3]
        flat = np.abs(np.linalg.det(system)) < 1e-6
        system[flat] = np.eye(3)
        source = self.mesh.vertices[self.mesh.triangles]
        return np.linalg.solve(system, source).transpose(0, 2, 1).astype(np.float32)
