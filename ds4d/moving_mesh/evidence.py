"""Images that say where a moving mesh is and which colours it has."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..cameras import Cameras

SMALLEST = 32  # pixels along a side; flow between smaller images says nothing


@dataclass(frozen=True)
class Evidence:
    """Images of an asset: T frames from V cameras."""

    images: np.ndarray  # [T, V, S, S, 4] uint8 RGBA, alpha 0 or 255, black outside
    cameras: Cameras  # V at S x S, on the CPU
    trust: np.ndarray  # [V] weight of each view

    @classmethod
    def of(cls, images: np.ndarray, cameras: Cameras, trust: np.ndarray) -> Evidence:
        """Images with straight alpha. A soft outline becomes a hard one, as drawings of a mesh
        have: flow from one to the other would shrink or swell the mesh."""
        solid = images[..., 3:] > 127
        hard = np.where(solid, images, np.uint8(0))
        hard[..., 3:] = np.uint8(255) * solid
        return cls(hard, cameras, trust)

    def resized(self, share: float) -> Evidence:
        """The same images, smaller."""
        side = max(round(share * self.cameras.width), min(SMALLEST, self.cameras.width))
        small = np.empty((*self.images.shape[:2], side, side, 4), np.uint8)
        for index in np.ndindex(small.shape[:2]):
            image = cv2.resize(self.images[index], (side, side), interpolation=cv2.INTER_AREA)
            image[..., :3] = image[..., :3] / np.maximum(image[..., 3:] / np.float32(255), 0.01)
            small[index] = image
        return Evidence.of(small, self.cameras.resized(side, side), self.trust)
