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
        self.trust: Tensor | None = None  # [T * V, size, size, 1] uint8
        if views.confidence is not None:
            trust = torch.from_numpy(views.confidence).flatten(0, 1)[..., None]
            self.trust = _shrunk(trust, size).to(device)

    def of(
        self,
        frames: Tensor,  # [B]
        views: Tensor,  # [B]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Colours over white [B, size, size, 3], mattes [B, size, size, 1], in [0, 1], and how
        far both can be trusted [B, size, size, 1]; None = the same everywhere.
        """
        places = frames * len(self.cameras) + views
        rgb, alpha = self.rgb.index_select(0, places), self.alpha.index_select(0, places)
        trust = None
        if self.trust is not None:
            trust = self.trust.index_select(0, places).float().div_(255)
        return rgb.float().div_(255), alpha.float().div_(255), trust


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
