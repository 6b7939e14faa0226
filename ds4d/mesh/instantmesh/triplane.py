"""Decoding of three feature planes to density and colour (EG3D, Chan et al. 2022, section 4.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Synthesizer(nn.Module):
    """MLP over sampled features; attributes carry the names of the published checkpoint's keys."""

    def __init__(self, plane_dim: int, hidden: int) -> None:
        super().__init__()
        self.decoder = nn.ModuleDict({
            "net": nn.Sequential(
                nn.Linear(3 * plane_dim, hidden), nn.ReLU(),
                nn.Linear(hidden, hidden), nn.ReLU(),
                nn.Linear(hidden, hidden), nn.ReLU(),
                nn.Linear(hidden, 4),
            )
        })  # fmt: skip

    def forward(
        self,
        planes: Tensor,  # [3, plane_dim, H, W], as TriplaneTransformer returns them
        points: Tensor,  # [P, 3] in [-1, 1]
    ) -> tuple[Tensor, Tensor]:
        """Density [P], not negative, and colours [P, 3] in [-0.001, 1.001]."""
        raw = self.decoder["net"](sample_features(planes, points))
        # Colours reach a little over the ends, so that the sigmoid need not saturate (Mip-NeRF).
        return F.softplus(raw[:, 0] - 1), raw[:, 1:].sigmoid() * 1.002 - 0.001


def sample_features(
    planes: Tensor,  # [3, plane_dim, H, W]
    points: Tensor,  # [P, 3] in [-1, 1]; zeros outside
) -> Tensor:
    """Bilinear samples of the planes xy, xz and zy, concatenated, [P, 3 * plane_dim]."""
    x, y, z = points.unbind(-1)
    grid = torch.stack([torch.stack(pair, -1) for pair in ((x, y), (x, z), (z, y))])
    samples = F.grid_sample(planes, grid[:, None], align_corners=False)  # [3, plane_dim, 1, P]
    return samples.flatten(0, 2).T
