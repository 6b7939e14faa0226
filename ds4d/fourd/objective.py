"""The loss of a step: renders of the sampled views against their targets (paper section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..cameras import Cameras
from ..config import FourdConfig
from ..guidance import Perceptual, Zero123
from ..splatting import rasterize
from .gaussians import Gaussians, Offsets, deformed
from .losses import LossWeights, image_loss, regularizers
from .model import Model
from .targets import Targets
from .tssf import Lookup
from .view_correction import ViewCorrection


class Objective:
    """Photometric, perceptual and distillation losses and regularizers.

    Args:
        positions: place of each frame in the clip [T], in [0, 1].
        features: view features of every frame [T, V, h, w, D].
        correction: of the generated views, or None.
        perceptual: loss of renders and targets, [B, H, W, 3] twice -> [B].
        sds: score distillation with the run's views as its references, or None.
        rasterizer: backend of `rasterize`.
    """

    def __init__(
        self,
        config: FourdConfig,
        targets: Targets,
        positions: Tensor,
        features: Tensor,
        correction: ViewCorrection | None,
        perceptual: Perceptual,
        sds: Zero123 | None,
        rasterizer: str,
    ):
        self.config, self.targets = config, targets
        self.positions, self.features = positions, features
        self.correction, self.perceptual, self.sds = correction, perceptual, sds
        self.rasterizer = rasterizer

    def loss(
        self,
        model: Model,
        inputs: dict[str, Tensor],
        lookup: Lookup | None,  # None: the static stage
        sds_size: int,  # side of the images for score distillation, pixels
    ) -> tuple[Tensor, list[Tensor]]:
        """The loss of a step, and the zeros [B, N, 2] that collect image-space gradients.

        Args:
            inputs: "frames" [K], "views" [K, 2], of which the second has the perceptual loss, and
                what `sds.sample` returned.
        """
        frames, views = inputs["frames"], inputs["views"]
        offsets = self.offsets(model, frames, lookup)
        moments = deformed(model.gaussians, offsets)  # [K, N, ...]
        shown = model.gaussians.colors(offsets.sh0)  # [N, 3] or [K, N, 3]
        colors = shown if offsets.sh0 is None else _in_pairs(shown)
        image_frames, image_views = frames.repeat_interleave(2), views.flatten()
        warps, regularizer = None, 0.0
        if self.correction is not None and lookup is not None:
            warps, colors, regularizer = self._corrected(colors, image_frames, image_views, lookup)
        rgb, alpha, shifts = self.render(
            model.gaussians, [_in_pairs(moment) for moment in moments],
            self.targets.cameras[image_views], colors, warps=warps,
        )  # fmt: skip
        loss = self.image_loss(rgb, alpha, image_frames, image_views) + regularizer
        if lookup is not None:
            loss = loss + regularizers(model.network, self.config)
        if self.sds is None:
            return loss, [shifts]
        cameras = Cameras(inputs["viewmats"], inputs["Ks"], sds_size, sds_size)
        rgb, _, sds_shifts = self.render(
            model.gaussians, moments, cameras, shown, inputs["backgrounds"]
        )
        distillation = self.config.sds * self.sds.distillation_loss(rgb, inputs)
        return loss + distillation, [shifts, sds_shifts]

    def offsets(self, model: Model, frames: Tensor, lookup: Lookup | None) -> Offsets:
        """Offsets of the Gaussians at K frames."""
        return model.offsets(self.positions[frames], self.features[frames], lookup)

    def render(
        self,
        gaussians: Gaussians,
        moment: Sequence[Tensor],  # means, quats, scales; each [N, ...] or [B, N, ...]
        cameras: Cameras,  # B
        colors: Tensor,  # [N, 3] or [B, N, 3]
        backgrounds: Tensor | None = None,  # [B, 3]; None is white
        warps: Tensor | None = None,  # [B, N, 2] offsets of the projected centres, pixels
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Colours [B, H, W, 3], alphas [B, H, W, 1], and the zeros [B, N, 2] added to the
        projected centres, which collect their gradients."""
        device = gaussians.means.device
        if backgrounds is None:
            backgrounds = torch.ones(len(cameras), 3, device=device)
        shifts = torch.zeros(len(cameras), len(gaussians), 2, requires_grad=True, device=device)
        rgb, alpha, _ = rasterize(
            *moment, gaussians.logits.sigmoid(), colors,
            cameras.viewmats, cameras.Ks, cameras.width, cameras.height, backgrounds,
            antialiased=self.config.antialiased,
            means2d_offsets=shifts if warps is None else shifts + warps,
            backend=self.rasterizer,
        )  # fmt: skip
        return rgb, alpha, shifts

    def image_loss(
        self,
        rgb: Tensor,  # [2 K, H, W, 3], pairs of views side by side
        alpha: Tensor,  # [2 K, H, W, 1]
        frames: Tensor,  # [2 K]
        views: Tensor,  # [2 K]
    ) -> Tensor:  # []
        """Weighted losses of renders against their targets."""
        config, front = self.config, views == 0
        included = self.targets.included[frames, views]
        second = slice(1, None, 2)  # of each pair
        perceptual = None
        if config.perceptual:
            perceptual = (config.perceptual * included * ~front)[second]
        weights = LossWeights(
            included * torch.where(front, config.front_rgb, config.view_rgb),
            included * torch.where(front, config.front_alpha, config.view_alpha),
            perceptual,
            second,
        )
        targets = self.targets.select(frames, views)
        return image_loss(rgb, alpha, targets, weights, config.robust, self.perceptual)

    def _corrected(
        self, colors: Tensor, frames: Tensor, views: Tensor, lookup: Lookup
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Offsets [B, N, 2] in pixels, colours [B, N, 3] and the weighted regularizer []."""
        config = self.config
        offsets, warp_penalty = self.correction.offsets(frames, views, lookup.grid[views])
        colors, color_penalty = self.correction.colors(frames, views, colors)
        regularizer = config.warp_pull * warp_penalty + config.tint_pull * color_penalty
        return offsets * self.targets.cameras.width, colors, regularizer


def _in_pairs(moments: Tensor) -> Tensor:  # [K, N, ...] -> [N, ...] or [2 K, N, ...]
    """For both views of each moment, which share a single one."""
    if len(moments) == 1:
        return moments.squeeze(0)
    # repeat_interleave would gather, and scatter gradients
    return moments[:, None].expand(-1, 2, -1, -1).flatten(0, 1)
