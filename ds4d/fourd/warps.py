"""Small bends of the pseudo views, learned while training and dropped afterwards.

Views that a network or an inflated silhouette imagined do not agree with each other by a few
pixels. Averaged by the optimization, they blur the object and fray its outline; so each view of
each frame may be bent smoothly to where the object says, held by a spring.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample


class Warps(nn.Module):
    """A grid of displacements for every frame and view; the front view, 0, is never bent.

    Args:
        frames, views: T and V.
        cells: nodes of each grid along a side of the image; 0 bends nothing.
    """

    def __init__(self, frames: int, views: int, cells: int):
        super().__init__()
        self.grids = nn.Parameter(torch.zeros(frames, views, 2, cells, cells))  # sides of the image

    def forward(
        self,
        frames: Tensor,  # [B]
        views: Tensor,  # [B]
        places: Tensor,  # [B, N, 2] in the views, in [-1, 1] from edge to edge
    ) -> tuple[Tensor, Tensor]:
        """Displacements at the places [B, N, 2], in sides of the image, and the springs' mean
        squared length []."""
        grids = self.grids[frames, views] * (views > 0)[:, None, None, None]
        bent = grid_sample(grids, places[:, None], padding_mode="border", align_corners=True)
        return bent[:, :, 0].transpose(1, 2), grids.square().sum(1).mean()
