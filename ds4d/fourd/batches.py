"""The pictures that the optimization compares its renders with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..images import over
from ..multiview import Views


class Targets:
    """All frames and views at one size, over white, kept as bytes."""

    def __init__(self, views: Views, size: int, device: torch.device):
        self.cameras = views.cameras.resized(size, size).to(device)
        frames = [_resized(images, size).to(device) for images in views.images]
        self.rgb = torch.cat([frame[..., :3] for frame in frames])  # [T * V, size, size, 3] uint8
        self.alpha = torch.cat([frame[..., 3:] for frame in frames])

    def of(
        self,
        frames: Tensor,  # [B]
        views: Tensor,  # [B]
    ) -> tuple[Tensor, Tensor]:
        """Colours over white [B, size, size, 3] and mattes [B, size, size, 1], in [0, 1]."""
        places = frames * len(self.cameras) + views
        rgb, alpha = self.rgb.index_select(0, places), self.alpha.index_select(0, places)
        return rgb.float().div_(255), alpha.float().div_(255)


def _resized(images: np.ndarray, size: int) -> Tensor:
    """RGBA [V, S, S, 4] uint8 -> RGB over white, and alpha, [V, size, size, 4] uint8."""
    composed = np.concatenate([over(images), images[..., 3:]], -1)
    if images.shape[1] == size:
        return torch.from_numpy(composed)
    pixels = torch.from_numpy(composed).permute(0, 3, 1, 2).float()
    pixels = interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    return pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
