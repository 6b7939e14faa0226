"""Activated Gaussians, ready to be rendered or exported, and a shorthand that renders them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..cameras import Cameras
from .rasterize import rasterize


@dataclass(frozen=True)
class Splats:
    """N Gaussians at one moment."""

    means: Tensor  # [N, 3] world
    quats: Tensor  # [N, 4] w, x, y, z, unit length
    scales: Tensor  # [N, 3] linear, world units
    opacities: Tensor  # [N] in [0, 1]
    colors: Tensor  # [N, 3] in [0, 1]
    antialiased: bool = False  # drawn fainter, not larger, where smaller than a pixel

    def __len__(self) -> int:
        return len(self.means)


@torch.no_grad()
def render(
    splats: Splats,
    cameras: Cameras,
    background: float = 1.0,  # grey level behind the object, in [0, 1]
    backend: str = "auto",  # of rasterize
) -> tuple[Tensor, Tensor, Tensor]:
    """Render colours [C, H, W, 3] over the background, alphas and expected depths [C, H, W, 1].

    Computed on the device of the Gaussians, wherever the cameras are.
    """
    cameras = cameras.to(splats.means.device)
    backgrounds = torch.full((len(cameras), 3), background, device=splats.means.device)
    return rasterize(
        splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
        cameras.viewmats, cameras.Ks, cameras.width, cameras.height, backgrounds,
        antialiased=splats.antialiased, backend=backend,
    )  # fmt: skip
