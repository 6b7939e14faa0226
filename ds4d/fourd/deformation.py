"""The deformation network: where and how each Gaussian is at a moment (paper eq. 5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..config import FourdConfig
from . import kernels
from .gaussians import Offsets
from .hexplane import HexPlane
from .kernels.deformation import deform
from .kernels.lanes import LANES
from .tssf import TSSF, Lookup

HEADS = {"means": 3, "log_scales": 3, "quats": 4}


class Deformation(nn.Module):
    """HexPlane features and fused view features, joined by a linear layer, read by three heads."""

    def __init__(self, config: FourdConfig, channels: int):
        super().__init__()
        self.planes = HexPlane(
            config.plane_size, config.plane_times, config.plane_levels, config.plane_width,
            config.bound, half_time=config.time_map == "half",
        )  # fmt: skip
        self.tssf = TSSF(channels, config.feature_width, config.fusion)
        width = config.hidden_width
        self.join_planes = nn.Linear(config.plane_levels * config.plane_width, width)
        self.join_views = nn.Linear(self.tssf.out_width, width, bias=False)
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, size)
                )
                for name, size in HEADS.items()
            }
        )

    def reset(self, generator: torch.Generator, zero_heads: bool) -> None:
        """Xavier weights and zero biases; zero last layers mean that nothing moves at first."""
        self.planes.reset(generator)
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_uniform_(layer.weight, generator=generator)
                    if layer.bias is not None:
                        layer.bias.zero_()
            if zero_heads:
                for head in self.heads.values():
                    head[-1].weight.zero_()

    def forward(
        self,
        means: Tensor,  # [N, 3] canonical centres
        position: float,  # place in the clip, [0, 1]
        reduced: Tensor,  # [V, h, w, C] reduced feature maps of that moment
        lookup: Lookup,
    ) -> Offsets:
        """Offsets to the raw parameters at one moment, K = 1."""
        return self.at(means, means.new_tensor([position]), reduced[None], lookup)

    def at(
        self,
        means: Tensor,  # [N, 3] canonical centres
        positions: Tensor,  # [K] places in the clip, [0, 1]
        reduced: Tensor,  # [K, V, h, w, C] reduced feature maps of these moments
        lookup: Lookup,
    ) -> Offsets:
        """Offsets to the raw parameters at K moments."""
        # Detached: where a Gaussian rests is for the images to say, not for the planes' slopes.
        means = means.detach()
        if kernels.fit(means) and self._fits_kernels():
            moments = zip(positions.tolist(), reduced, strict=True)
            return stacked([self._by_kernels(means, at, maps, lookup) for at, maps in moments])
        hidden = self.join_planes(self.planes(means, positions))
        hidden = hidden + self.join_views(self.tssf(reduced, lookup))
        return Offsets(**{name: head(hidden) for name, head in self.heads.items()})

    def _fits_kernels(self) -> bool:
        widths = [plane.shape[1] for plane in self.planes.space]
        widths += [self.tssf.reduce.out_features, self.join_planes.out_features]
        return self.tssf.fusion == "da" and all(width % LANES == 0 for width in widths)

    def _by_kernels(
        self, means: Tensor, position: float, reduced: Tensor, lookup: Lookup
    ) -> Offsets:
        """The same as one function; all heads are one layer, with zeros between them."""
        inner, last = zip(*((head[1], head[3]) for head in self.heads.values()), strict=True)
        empty = -sum(HEADS.values()) % LANES
        out = deform(
            means, self.planes, self.planes.row(position), self.tssf, reduced, lookup,
            layers=(
                torch.cat([self.join_planes.weight, self.join_views.weight], 1),
                self.join_planes.bias,
                torch.cat([layer.weight for layer in inner]),
                torch.cat([layer.bias for layer in inner]),
                pad(torch.block_diag(*(layer.weight for layer in last)), (0, 0, 0, empty)),
                pad(torch.cat([layer.bias for layer in last]), (0, empty)),
            ),
        )  # fmt: skip
        *offsets, _ = out[None].split([*HEADS.values(), empty], -1)
        return Offsets(**dict(zip(HEADS, offsets, strict=True)))


def stacked(offsets: list[Offsets]) -> Offsets:
    """Several moments as one."""
    return Offsets(*(torch.cat([getattr(o, name) for o in offsets]) for name in HEADS))
