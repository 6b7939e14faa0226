"""Small bends and tints of the pseudo views, learned while training and dropped afterwards.

Views that a network or an inflated silhouette imagined do not agree with each other by a few
pixels, and are lighter or darker. Averaged by the optimization, they blur the object and fray its
outline; so each view of each frame may be bent smoothly to where the object says, and tinted as it
says, held by springs. Views that agree need none of it, and would lose by it: what they show moving
would be taken for a bend.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from ..errors import UserError
from ..multiview.consistency import disagreement
from ..multiview.views import Views

NODES = 8  # of each grid along a side of the image
AGREE = 0.002  # disagreement of views below which they show one object: renders have a tenth of it


def wanted(
    views: Views,
    warps: Literal["auto", "on", "off"],
    counts: np.ndarray | None = None,  # [T, V] bool, views that are not left out
    possible: bool = True,  # whether the rasterizer supports offsets of projected centres
) -> bool:
    """Whether these views shall be bent; by themselves, scenes of real cameras are not.

    Raises UserError where they shall and the rasterizer cannot.
    """
    if warps == "auto":
        return possible and views.capture_to_world is None and disagreement(views, counts) > AGREE
    if warps == "on" and not possible:
        raise UserError(
            "The rasterizer that was chosen cannot bend views.",
            "Leave out --rasterizer, or give --fourd.warps off.",
        )
    return warps == "on"


class Warps(nn.Module):
    """How every view of every frame is bent and tinted; the front view, 0, never is.

    Args:
        frames, views: T and V.
    """

    def __init__(self, frames: int, views: int):
        super().__init__()
        self.grids = nn.Parameter(torch.zeros(frames, views, 2, NODES, NODES))  # image sides
        self.tints = nn.Parameter(torch.zeros(frames, views, 2, 3))  # brighter, and more contrast

    def bent(
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

    def tinted(
        self,
        frames: Tensor,  # [B]
        views: Tensor,  # [B]
        colors: Tensor,  # [N, 3]
    ) -> tuple[Tensor, Tensor]:
        """The colours as the views show them [B, N, 3], and the springs' mean squared length []."""
        tints = self.tints[frames, views] * (views > 0)[:, None, None]
        brighter, contrast = tints[:, None].unbind(2)  # [B, 1, 3] each
        tinted = colors + brighter + (colors - 0.5) * contrast
        return tinted, tints.square().sum((1, 2)).mean()
