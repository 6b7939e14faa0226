"""Temporal-spatial similarity fusion (paper section 3.4, eq. 3 and 4): features of the views at one
moment, gathered at the Gaussians and merged into one feature per Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from ..cameras import Cameras, project
from ..splat import rasterize
from . import kernels
from .gaussians import Gaussians

Fusion = Literal["front", "average", "ga", "da"]
DEPTH_TOLERANCE = 0.02  # world units that a centre may lie behind the surface and still be seen
DEPTH_SIZE = 128  # side of the depth images that visibility is read from, pixels


@dataclass(frozen=True)
class Lookup:
    """Where each Gaussian looks up its features in each view."""

    grid: Tensor  # [V, N, 2] places in the image, in [-1, 1] from edge to edge
    visible: Tensor  # [V, N] float, 1 where the view sees the Gaussian's centre

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        gaussians: Gaussians,
        cameras: Cameras,
        visibility: Literal["depth", "none"],
    ) -> Lookup:
        """Project the canonical centres (detached: the lookup moves no Gaussian)."""
        cameras = cameras.resized(DEPTH_SIZE, DEPTH_SIZE)
        pixels, depth = project(gaussians.means, cameras)
        grid = pixels / DEPTH_SIZE * 2 - 1
        seen = (depth > 0) & (grid.abs() <= 1).all(-1)
        if visibility == "depth":
            _, _, surface = rasterize(
                gaussians.means, gaussians.quats, gaussians.log_scales.exp(),
                gaussians.logits.sigmoid(), gaussians.colors(),
                cameras.viewmats, cameras.Ks, DEPTH_SIZE, DEPTH_SIZE,
            )  # fmt: skip
            nearest = grid_sample(
                surface.permute(0, 3, 1, 2), grid[:, None], mode="nearest", align_corners=False
            )[:, 0, 0]
            seen &= (depth <= nearest + DEPTH_TOLERANCE) | (nearest == 0)
        return cls(grid, seen.float())

    def sample(self, maps: Tensor) -> Tensor:
        """Feature maps [..., V, h, w, C] at the Gaussians, [..., V, N, C]; zero where not seen.

        Bilinear, patch centres at half cells, zeros beyond the map.
        """
        flat = maps.flatten(0, -4).permute(0, 3, 1, 2)  # [moments * V, C, h, w]
        grid = self.grid.repeat(len(flat) // len(self.grid), 1, 1)[:, None]
        points = grid_sample(flat, grid, mode="bilinear", align_corners=False)
        points = points[:, :, 0].transpose(1, 2).unflatten(0, maps.shape[:-3])
        return points * self.visible[..., None]


class TSSF(nn.Module):
    """Reduce, sample, and merge the views' decoupled features.

    A bilinear sample is linear, so the reduction runs on the P tokens of a map instead of on N
    points; only its bias waits until the mask of what is visible has been applied.

    Args:
        channels: width 2D of the decoupled features.
        width: channels C that they are reduced to.
        fusion: "front", the front view's alone; "average" over the visible views; "ga", weights by
            a softmax over views (eq. 3, 4); "da", which tells the front view and the distance of
            the others from it apart.
    """

    def __init__(self, channels: int, width: int, fusion: Fusion):
        super().__init__()
        self.fusion = fusion
        self.reduce = nn.Linear(channels, width)
        self.out_width = 2 * width if fusion == "da" else width
        if fusion == "ga":
            self.score = nn.Linear(width, 1)
        elif fusion == "da":
            self.score_others = nn.Linear(2 * width, 1)
            self.score_pair = nn.Linear(2 * width, 1)

    def reduced(self, maps: Tensor) -> Tensor:
        """Feature maps [..., h, w, 2D] as [..., h, w, C], without the bias."""
        return maps @ self.reduce.weight.T

    def forward(self, reduced: Tensor, lookup: Lookup) -> Tensor:
        """Fused features [..., N, C'] of moments, from their `reduced` maps [..., V, h, w, C]."""
        if self.fusion == "da" and kernels.fit_gpu(reduced, reduced.shape[-1]):
            return self._by_kernels(reduced, lookup)
        visible = lookup.visible
        points = lookup.sample(reduced) + self.reduce.bias * visible[..., None]  # [..., V, N, C]
        if self.fusion == "front":
            return points[..., 0, :, :]
        if self.fusion == "average":
            return points.sum(-3) / visible.sum(0).clamp(min=1)[:, None]
        if self.fusion == "ga":
            scores = points @ self.score.weight[0] + self.score.bias
            return merge(points, view_weights(scores, visible))
        return self._distance_aware(points, visible)

    def _by_kernels(self, reduced: Tensor, lookup: Lookup) -> Tensor:
        """The same on a GPU, for "da"."""
        from .triton_fusion import fuse

        weights = (layer.weight[0] for layer in (self.score_others, self.score_pair))
        maps = reduced.reshape(-1, *reduced.shape[-4:])
        fused = fuse(maps, self.reduce.bias, *weights, lookup.grid, lookup.visible)
        return fused.view(*reduced.shape[:-4], *fused.shape[1:])

    def _distance_aware(self, points: Tensor, visible: Tensor) -> Tensor:
        """Merge the other views by features and distance to the front, then with the front.

        A feature and its distance are never put side by side for all views: the halves of each
        score's weights are applied to them apart, which is the same sum.
        """
        front, others = points[..., 0, :, :], points[..., 1:, :, :]
        seen = visible[1:]
        distances = (others - front[..., None, :, :]).abs() * seen[..., None]
        of_feature, of_distance = self.score_others.weight[0].chunk(2)
        scores = others @ of_feature + distances @ of_distance + self.score_others.bias
        weights = view_weights(scores, seen)
        feature, distance = merge(others, weights), merge(distances, weights)

        of_feature, of_distance = self.score_pair.weight[0].chunk(2)
        score_front = front @ of_feature  # the front's distance to itself is zero
        score_fused = feature @ of_feature + distance @ of_distance
        scores = torch.stack([score_front, score_fused], -2) + self.score_pair.bias
        weights = view_weights(scores, torch.stack([visible[0], seen.amax(0)]))
        front_weight, fused_weight = weights[..., None].unbind(-3)
        mixed = front_weight * front + fused_weight * feature
        return torch.cat([mixed, fused_weight * distance], -1)


def view_weights(
    scores: Tensor,  # [..., V, N]
    visible: Tensor,  # [V, N], 1 or 0
) -> Tensor:  # [..., V, N]
    """Softmax over the views that see a point (eq. 3); over all of them where none does."""
    return scores.masked_fill((visible == 0) & visible.any(0), -torch.inf).softmax(-2)


def merge(
    points: Tensor,  # [..., V, N, C]
    weights: Tensor,  # [..., V, N]
) -> Tensor:  # [..., N, C]
    """Weighted sum over views (eq. 4)."""
    return (weights[..., None] * points).sum(-3)
