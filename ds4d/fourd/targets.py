"""Target images of the optimization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..images import over
from ..multiview.views import Views


@dataclass(frozen=True)
class TargetImages:
    """Target colours and mattes of B renders."""

    rgb: Tensor  # [B, H, W, 3] uint8, over white
    alpha: Tensor  # [B, H, W, 1] uint8

    def as_floats(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Colours and mattes in [0, 1]."""
        return self.rgb.to(dtype) / 255, self.alpha.to(dtype) / 255


class Targets:
    """All frames and views at one size, over white, kept as bytes.

    Args:
        size: side of the targets, pixels; at most that of the views, since enlarged images would
            teach blur and take longer.
        included: factors on the losses of the views [T, V] in [0, 1]; None = 1.
    """

    def __init__(
        self, views: Views, size: int, device: torch.device, included: np.ndarray | None = None
    ):
        size = min(size, views.cameras.width)
        self.cameras = views.cameras.resized(size, size).to(device)
        frames = [_resized(images, size).to(device) for images in views.images]
        self.rgb = torch.cat([frame[..., :3] for frame in frames])  # [T * V, size, size, 3] uint8
        self.alpha = torch.cat([frame[..., 3:] for frame in frames])  # [T * V, size, size, 1]
        if included is None:
            included = np.ones(views.images.shape[:2])
        self.included = torch.from_numpy(included).float().to(device)  # [T, V]

    def select(
        self,
        frames: Tensor,  # [B]
        views: Tensor,  # [B]
    ) -> TargetImages:
        """Targets of B renders, each of a frame and a view."""
        indices = frames * len(self.cameras) + views
        return TargetImages(self.rgb.index_select(0, indices), self.alpha.index_select(0, indices))


def _resized(images: np.ndarray, size: int) -> Tensor:
    """RGBA [V, S, S, 4] uint8 -> RGB over white and alpha, [V, size, size, 4] uint8."""
    rgba = torch.from_numpy(np.concatenate([over(images), images[..., 3:]], -1))
    if rgba.shape[1] == size:
        return rgba
    pixels = interpolate(
        rgba.permute(0, 3, 1, 2).float(), size=(size, size), mode="bilinear", antialias=True
    )
    return pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
