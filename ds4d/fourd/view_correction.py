"""View correction: a small learned 2D warp and colour affine for each generated view.

Views that a network made up disagree by a few pixels and in brightness. Averaged by the
optimization, they blur the object and fray its outline. So each view of each frame gets a smooth 2D
warp and an affine change of colour, L2-regularized and discarded after training.
Views that agree would lose by it: the motion that they show would be taken for a warp.
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

GRID = 8  # nodes of a warp along a side of the image
CONSISTENT = 0.002  # disagreement of views of one object; renders of one have a tenth of it


def needs_correction(
    views: Views,
    mode: Literal["auto", "on", "off"],  # config.warps
    included: np.ndarray | None = None,  # [T, V] bool, views that are not left out
    supported: bool = True,  # whether the rasterizer supports offsets of projected centres
) -> bool:
    """Decide whether views are corrected: with "auto", generated views that disagree.

    Views that were rendered from one mesh per frame agree, whatever the test says of thin parts.

    Raises:
        UserError: correction was asked for, and the rasterizer does not support it.
    """
    if mode == "auto":
        generated = views.capture_to_world is None and not views.from_meshes
        return supported and generated and disagreement(views, included) > CONSISTENT
    if mode == "on" and not supported:
        raise UserError(
            "The chosen rasterizer does not support view correction.",
            "Leave out --rasterizer, or pass --fourd.warps off.",
        )
    return mode == "on"


class ViewCorrection(nn.Module):
    """Warp and colour affine of V views of T frames; the front view, 0, is never changed."""

    def __init__(self, frames: int, views: int):
        super().__init__()
        # Displacements at the nodes, in sides of the image.
        self.warp = nn.Parameter(torch.zeros(frames, views, 2, GRID, GRID))
        # Brightness and contrast of each channel.
        self.color = nn.Parameter(torch.zeros(frames, views, 2, 3))

    def offsets(
        self,
        frames: Tensor,  # [B]
        views: Tensor,  # [B]
        points: Tensor,  # [B, N, 2] in the views, in [-1, 1] from edge to edge
    ) -> tuple[Tensor, Tensor]:
        """Displacements of the points [B, N, 2], in sides of the image, and the regularizer [],
        their mean squared length at the nodes."""
        warp = self.warp[frames, views] * (views > 0)[:, None, None, None]
        offsets = grid_sample(warp, points[:, None], padding_mode="border", align_corners=True)
        return offsets[:, :, 0].transpose(1, 2), warp.square().sum(1).mean()

    def colors(
        self,
        frames: Tensor,  # [B]
        views: Tensor,  # [B]
        colors: Tensor,  # [N, 3] or [B, N, 3]
    ) -> tuple[Tensor, Tensor]:
        """Colours as the views show them [B, N, 3], and the regularizer [], the mean squared
        length of the affine's parameters."""
        affine = self.color[frames, views] * (views > 0)[:, None, None]
        brightness, contrast = affine[:, None].unbind(2)  # [B, 1, 3] each
        corrected = colors + brightness + (colors - 0.5) * contrast
        return corrected, affine.square().sum((1, 2)).mean()
