"""The pictures that the optimization compares its renders with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..images import over
from ..multiview.views import Views


@dataclass(frozen=True)
class Truth:
    """Target colours and mattes of a batch of renders."""

    rgb: Tensor  # [B, H, W, 3] uint8, over white
    alpha: Tensor  # [B, H, W, 1] uint8

    def in_units(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Colours and mattes in [0, 1]."""
        return self.rgb.to(dtype) / 255, self.alpha.to(dtype) / 255


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
    ) -> Truth:
        """What renders of some views of some frames should look like."""
        places = frames * len(self.cameras) + views
        return Truth(self.rgb.index_select(0, places), self.alpha.index_select(0, places))


def _resized(images: np.ndarray, size: int) -> Tensor:
    """RGBA [V, S, S, 4] uint8 -> RGB over white, and alpha, [V, size, size, 4] uint8."""
    return _shrunk(torch.from_numpy(np.concatenate([over(images), images[..., 3:]], -1)), size)


def _shrunk(images: Tensor, size: int) -> Tensor:
    """Images [B, S, S, C] uint8 at another size."""
    if images.shape[1] == size:
        return images
    pixels = images.permute(0, 3, 1, 2).float()
    pixels = interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    return pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
