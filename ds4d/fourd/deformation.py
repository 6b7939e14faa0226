"""The deformation network: offsets of each Gaussian at a moment (paper eq. 5)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from ..config import FourdConfig
from ..kernels import dispatch
from .gaussians import Offsets
from .hexplane import HexPlane
from .tssf import TSSF, Lookup

HEADS = {"means": 3, "log_scales": 3, "quats": 4}


def build_deformation(config: FourdConfig, channels: int) -> Deformation:
    """The network of some settings.

    Args:
        channels: width of the feature maps; not used without features (config.features).
    """
    planes = HexPlane(
        config.plane_size, config.plane_times, config.plane_levels, config.plane_width,
        config.bound, half_time=config.time_map == "half",
    )  # fmt: skip
    tssf = None
    if config.features != "none":
        tssf = TSSF(channels, config.feature_width, config.fusion, config.distance, config.scores)
    return Deformation(planes, tssf, config.hidden_width, config.hidden_layers)


class Deformation(nn.Module):
    """HexPlane features and fused view features, joined by linear layers, read by three heads.

    Args:
        planes: the HexPlane.
        tssf: fuses the features of the views; None for HexPlane features alone.
        width: of every hidden layer.
        layers: linear layers before the heads, which have two each.
    """

    def __init__(self, planes: HexPlane, tssf: TSSF | None, width: int, layers: int = 1):
        super().__init__()
        self.planes, self.tssf = planes, tssf
        self.join_planes = nn.Linear(len(planes.space) * planes.width, width)
        if tssf is not None:
            self.join_views = nn.Linear(tssf.out_width, width, bias=False)
        trunk = [(nn.ReLU(), nn.Linear(width, width)) for _ in range(layers - 1)]
        self.trunk = nn.Sequential(*itertools.chain(*trunk))
        self.heads = nn.ModuleDict({name: head(width, size) for name, size in HEADS.items()})

    def reset(self, generator: torch.Generator, zero_heads: bool) -> None:
        """Xavier weights and zero biases; with zero last layers nothing moves at first."""
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

    def reduced(self, maps: Tensor) -> Tensor:
        """Feature maps [..., V, h, w, 2D] as TSSF samples them, [..., V, h, w, C]."""
        return maps if self.tssf is None else self.tssf.reduced(maps)

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
        # Detached: the images decide where a Gaussian rests, not the slopes of the planes.
        means = means.detach()
        missing = self.tssf.missing_in_kernels() if self.tssf is not None else None
        if kernels := dispatch.kernels("deformation", means, missing):
            offsets = self._deform(kernels, means, positions, reduced, lookup)
            return self._split(offsets)
        hidden = self.hidden(means, positions, reduced, lookup)
        if hidden.is_cuda:
            first, last = self._heads_side_by_side()
            return self._split(linear(linear(hidden.relu(), *first).relu(), *last))
        return Offsets(**{name: head(hidden) for name, head in self.heads.items()})

    def hidden(
        self, means: Tensor, positions: Tensor, reduced: Tensor, lookup: Lookup | None
    ) -> Tensor:  # [K, N, width]
        """The input of the heads: all features, joined."""
        hidden = self.join_planes(self.planes(means, positions))
        if self.tssf is not None:
            hidden = hidden + self.join_views(self.tssf(reduced, lookup))
        return self.trunk(hidden)

    def _deform(
        self, kernels, means: Tensor, positions: Tensor, reduced: Tensor, lookup: Lookup
    ) -> Tensor:  # [K, N, at least sum of HEADS]
        """All of the network as one function of the kernels."""
        weight, bias, scores = self.join_planes.weight, means.new_zeros(0), []
        grid, visible = lookup.grid, lookup.visible
        if self.tssf is None:
            reduced = means.new_zeros(len(positions), 0, 0, 0, 0)  # no views
        else:
            weight = torch.cat([weight, self.join_views.weight], 1)
            bias, scores = self.tssf.reduce.bias, self.tssf.score_weights()
            if self.tssf.fusion == "front":
                reduced, grid, visible = reduced[:, :1], grid[:1], visible[:1]
        layers = [
            (weight, self.join_planes.bias),
            *((layer.weight, layer.bias) for layer in self.trunk[1::2]),
            *self._heads_side_by_side(),
        ]
        planes = self.planes
        rows = [planes.row(position) for position in positions.tolist()]
        return kernels.deform(
            planes.inside(means), planes.space, planes.time, rows, reduced, grid, visible, bias,
            scores, layers,
        )  # fmt: skip

    def _heads_side_by_side(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of two layers that compute all heads, with two products of matrices
        instead of two for each; see `_split`."""
        first, last = zip(*((head[1], head[3]) for head in self.heads.values()), strict=True)
        # GPUs have fast products for rows of 16 bytes only.
        empty = -sum(HEADS.values()) % 4
        weight = torch.block_diag(*(layer.weight for layer in last))
        bias = torch.cat([layer.bias for layer in last])
        return [
            (torch.cat([x.weight for x in first]), torch.cat([x.bias for x in first])),
            (pad(weight, (0, 0, 0, empty)), pad(bias, (0, empty))),
        ]

    @staticmethod
    def _split(offsets: Tensor) -> Offsets:
        """The outputs of all heads by their names; columns after them are empty."""
        *parts, _ = offsets.split([*HEADS.values(), offsets.shape[-1] - sum(HEADS.values())], -1)
        return Offsets(**dict(zip(HEADS, parts, strict=True)))


def head(width: int, size: int) -> nn.Sequential:
    """From the joined features [..., width] to the offsets of a parameter [..., size]."""
    return nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, size))
