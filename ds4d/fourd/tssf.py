"""Temporal-spatial similarity fusion (TSSF, paper section 3.4, eq. 3 and 4): features of the views
at one moment, sampled at the Gaussians and fused into one feature per Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, pad

from ..cameras import Cameras, project
from ..kernels import dispatch
from ..splatting import rasterize
from .gaussians import Gaussians

Fusion = Literal["front", "average", "ga", "da"]
DEPTH_SIZE = 128  # side of the depth images that visibility is read from, pixels


@dataclass(frozen=True)
class Lookup:
    """The place of each Gaussian in each view, where its features are sampled."""

    grid: Tensor  # [V, N, 2] in [-1, 1] from edge to edge of the image
    visible: Tensor  # [V, N] float, 1 where the view sees the Gaussian's centre

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        gaussians: Gaussians,
        cameras: Cameras,
        visibility: Literal["depth", "none"],
        tolerance: float = 0.02,
        rasterizer: str = "auto",
    ) -> Lookup:
        """Project the canonical centres (detached: the lookup moves no Gaussian).

        With "depth", a centre is seen that lies no more than `tolerance` (world units) behind the
        surface that the rasterizer draws: the mean depth of what a pixel shows.
        """
        cameras = cameras.resized(DEPTH_SIZE, DEPTH_SIZE)
        pixels, depth = project(gaussians.means, cameras)
        grid = pixels / DEPTH_SIZE * 2 - 1
        seen = (depth > 0) & (grid.abs() <= 1).all(-1)
        if visibility == "depth":
            _, _, surface = rasterize(
                gaussians.means, gaussians.quats, gaussians.log_scales.exp(),
                gaussians.logits.sigmoid(), gaussians.colors(),
                cameras.viewmats, cameras.Ks, DEPTH_SIZE, DEPTH_SIZE,
                backend=rasterizer,
            )  # fmt: skip
            nearest = grid_sample(
                surface.permute(0, 3, 1, 2), grid[:, None], mode="nearest", align_corners=False
            )[:, 0, 0]
            seen &= (depth <= nearest + tolerance) | (nearest == 0)
        return cls(grid, seen.float())

    def sample(self, maps: Tensor) -> Tensor:
        """Sample feature maps [..., V, h, w, C] at the Gaussians, [..., V, N, C]; zero where a view
        does not see a Gaussian.

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
            a softmax over views (eq. 3, 4); "da", which merges the other views by their features
            and distance to the front, then these with the front.
        distance: what "da" appends to the other views' features: the absolute difference of each
            channel ("elements") or their sum ("scalar"); "alone", the former instead of features.
        scores: "point", one score for a view's features; "channel", one for each channel.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        fusion: Fusion,
        distance: Literal["elements", "scalar", "alone"] = "elements",
        scores: Literal["point", "channel"] = "point",
    ):
        super().__init__()
        self.fusion, self.distance = fusion, distance
        self.reduce = nn.Linear(channels, width)
        distances = {"elements": width, "scalar": 1, "alone": 0}[distance]
        self.out_width = width + distances if fusion == "da" else width
        weights = self.out_width if scores == "channel" else 1
        if fusion == "ga":
            self.score = nn.Linear(width, weights)
        elif fusion == "da":
            self.score_others = nn.Linear(self.out_width, weights)
            self.score_pair = nn.Linear(self.out_width, weights)
        self.scores = scores

    def score_weights(self) -> list[Tensor]:
        """Weights of the linear scores: none, one [C] ("ga") or two [2C] ("da")."""
        names = {"ga": ["score"], "da": ["score_others", "score_pair"]}.get(self.fusion, [])
        return [getattr(self, name).weight[0] for name in names]

    def missing_in_kernels(self) -> str | None:
        """The setting that no kernel of this operation supports, in words, if there is one."""
        if self.scores != "point" and self.fusion in ("ga", "da"):
            return f'scores "{self.scores}"'
        if self.fusion == "da" and self.distance != "elements":
            return f'distance "{self.distance}"'
        return None

    def reduced(self, maps: Tensor) -> Tensor:
        """Feature maps [..., h, w, 2D] as [..., h, w, C], without the bias.

        By a product for each map: of a single product for all, the order of the sums in the
        weight's gradient would depend on the number of threads.
        """
        patches = maps.flatten(-3, -2)
        weights = self.reduce.weight.T.expand(*patches.shape[:-2], -1, -1)
        return (patches @ weights).unflatten(-2, maps.shape[-3:-1])

    def forward(self, reduced: Tensor, lookup: Lookup) -> Tensor:
        """Fused features [..., N, C'] of moments, from their `reduced` maps [..., V, h, w, C]."""
        missing = self.missing_in_kernels()
        if missing is None and self.fusion != "da":
            missing = f'fusion "{self.fusion}"'  # on a GPU; on a CPU see deformation.py
        if kernels := dispatch.kernels("tssf", reduced, missing):
            maps = reduced.reshape(-1, *reduced.shape[-4:])
            fused = kernels.fuse(
                maps, self.reduce.bias, *self.score_weights(), lookup.grid, lookup.visible
            )
            return fused.view(*reduced.shape[:-4], *fused.shape[1:])
        return self._fuse(reduced, lookup)[0]

    def weights(self, reduced: Tensor, lookup: Lookup) -> Tensor:
        """Weights of the views [..., V, N], for maps as in `forward`; they sum to 1 for a Gaussian
        that a view sees, to 0 for others."""
        return self._fuse(reduced, lookup)[1].mean(-1) * lookup.visible

    def _fuse(self, reduced: Tensor, lookup: Lookup) -> tuple[Tensor, Tensor]:
        """Fused features [..., N, C'] and the weights of the views [..., V, N, 1 or C']."""
        visible = lookup.visible
        points = lookup.sample(reduced) + self.reduce.bias * visible[..., None]  # [..., V, N, C]
        if self.fusion == "da":
            return self._distance_aware(points, visible)
        if self.fusion == "ga":
            weights = view_weights(self.score(points), visible)
        elif self.fusion == "average":
            weights = (visible / visible.sum(0).clamp(min=1))[..., None]
        else:
            weights = torch.zeros_like(visible)[..., None]
            weights[0] = 1
        return merge(points, weights), weights.expand(*points.shape[:-1], -1)

    def _distance_aware(self, points: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse the other views by their features and distance to the front, then both."""
        front, others, seen = points[..., :1, :, :], points[..., 1:, :, :], visible[1:]
        distance = (others - front).abs() * seen[..., None]
        if self.distance == "scalar":
            distance = distance.sum(-1, keepdim=True)
        others = distance if self.distance == "alone" else torch.cat([others, distance], -1)
        among = view_weights(self.score_others(others), seen)
        # The front's distance to itself is zero.
        front = pad(front, (0, self.out_width - front.shape[-1]))
        pair = torch.cat([front, merge(others, among)[..., None, :, :]], -3)
        weights = view_weights(self.score_pair(pair), torch.stack([visible[0], seen.amax(0)]))
        of_front, of_others = weights.split(1, -3)
        return merge(pair, weights), torch.cat([of_front, of_others * among], -3)


def view_weights(
    scores: Tensor,  # [..., V, N, 1 or C]
    visible: Tensor,  # [V, N], 1 or 0
) -> Tensor:  # [..., V, N, 1 or C]
    """Softmax over the views that see a point (eq. 3); over all of them where none does."""
    hidden = (visible == 0) & visible.any(0)
    return scores.masked_fill(hidden[..., None], -torch.inf).softmax(-3)


def merge(
    points: Tensor,  # [..., V, N, C]
    weights: Tensor,  # [..., V, N, 1 or C]
) -> Tensor:  # [..., N, C]
    """Weighted sum over views (eq. 4)."""
    return (weights * points).sum(-3)
