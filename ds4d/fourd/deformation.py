"""The deformation network: where and how each Gaussian is at a moment (paper eq. 5)."""

from __future__ import annotations

import functools
import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from ..config import FourdConfig
from ..kernels import dispatch
from ..kernels.numba.deformation import Layout, deform
from ..kernels.numba.simd import LANES
from .gaussians import Offsets
from .hexplane import HexPlane
from .tssf import TSSF, Lookup

HEADS = {"means": 3, "log_scales": 3, "quats": 4}


class Deformation(nn.Module):
    """HexPlane features and fused view features, joined by a linear layer, read by three heads.

    Without features of the views (config.features), HexPlane features alone: no TSSF.
    """

    def __init__(self, config: FourdConfig, channels: int):
        super().__init__()
        self.planes = HexPlane(
            config.plane_size, config.plane_times, config.plane_levels, config.plane_width,
            config.bound, half_time=config.time_map == "half",
        )  # fmt: skip
        self.tssf = None
        if config.features != "none":
            self.tssf = TSSF(
                channels, config.feature_width, config.fusion, config.distance, config.scores
            )
        width = config.hidden_width
        self.join_planes = nn.Linear(config.plane_levels * config.plane_width, width)
        if self.tssf is not None:
            self.join_views = nn.Linear(self.tssf.out_width, width, bias=False)
        more = [(nn.ReLU(), nn.Linear(width, width)) for _ in range(config.hidden_layers - 1)]
        self.trunk = nn.Sequential(*itertools.chain(*more))
        self.heads = nn.ModuleDict({name: head(width, size) for name, size in HEADS.items()})

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
        # Detached: where a Gaussian rests is for the images to say, not for the planes' slopes.
        means = means.detach()
        if dispatch.fit(means) and self._fits_kernels():
            return self._by_kernels(means, positions, reduced, lookup)
        hidden = self.hidden(means, positions, reduced, lookup)
        if hidden.is_cuda:
            return self._heads_as_one(hidden)
        return Offsets(**{name: head(hidden) for name, head in self.heads.items()})

    def hidden(
        self, means: Tensor, positions: Tensor, reduced: Tensor, lookup: Lookup | None
    ) -> Tensor:  # [K, N, hidden_width]
        """What the heads read: all features, joined."""
        hidden = self.join_planes(self.planes(means, positions))
        if self.tssf is not None:
            hidden = hidden + self.join_views(self.tssf(reduced, lookup))
        return self.trunk(hidden)

    def _heads_as_one(self, hidden: Tensor) -> Offsets:
        """All heads with two products of matrices instead of two for each."""
        first, last = zip(*((head[1], head[3]) for head in self.heads.values()), strict=True)
        weight, bias = (torch.cat([getattr(x, n) for x in first]) for n in ("weight", "bias"))
        inner = linear(hidden.relu(), weight, bias).relu()
        # Rows of 16 bytes, or they would miss the fast products.
        empty = -sum(HEADS.values()) % 4
        weight = pad(torch.block_diag(*(x.weight for x in last)), (0, 0, 0, empty))
        bias = pad(torch.cat([x.bias for x in last]), (0, empty))
        *offsets, _ = linear(inner, weight, bias).split([*HEADS.values(), empty], -1)
        return Offsets(*offsets)

    def _fits_kernels(self) -> bool:
        widths = [self.planes.width, self.join_planes.out_features]
        if self.tssf is not None:
            if not self.tssf.for_kernels:
                return False
            widths.append(self.tssf.reduce.out_features)
        return (
            self.planes.even
            and len(self.trunk) == 0
            and all(width % LANES == 0 for width in widths)
        )

    def _by_kernels(
        self, means: Tensor, positions: Tensor, reduced: Tensor, lookup: Lookup
    ) -> Offsets:
        """The same as one function of all parameters."""
        if self.tssf is not None and self.tssf.fusion == "front":
            reduced, lookup = reduced[:, :1], Lookup(lookup.grid[:1], lookup.visible[:1])
        rows, pieces = [self.planes.row(at) for at in positions.tolist()], self._pieces()
        parameters = torch.cat([means.new_zeros(1), *(piece.flatten() for piece in pieces)])
        out = deform(means, self.planes, rows, reduced, lookup, parameters, self._layout)
        *offsets, _ = out.split([*HEADS.values(), out.shape[-1] - sum(HEADS.values())], -1)
        return Offsets(**dict(zip(HEADS, offsets, strict=True)))

    def _pieces(self) -> list[Tensor]:
        """Parameters of the views and of the layers; those that there are not are empty."""
        join, tssf = self.join_planes, self.tssf
        none = join.weight.new_empty(1, 0)
        bias, scores, by_views = none[0], (none, none), none.expand(len(join.bias), 0)
        if tssf is not None:
            bias, by_views = tssf.reduce.bias, self.join_views.weight
            if tssf.fusion == "da":
                scores = tssf.score_others.weight, tssf.score_pair.weight
            elif tssf.fusion == "ga":
                scores = tssf.score.weight, none
        layers = [layer for head in self.heads.values() for layer in (head[1], head[3])]
        return [
            bias, *scores, join.weight, by_views, join.bias,
            *(tensor for layer in layers for tensor in (layer.weight, layer.bias)),
        ]  # fmt: skip

    @functools.cached_property
    def _layout(self) -> Layout:
        """The heads as one layer each, with zeros (number 0) between them."""
        places, first = [], 1
        for piece in self._pieces():
            places.append(torch.arange(first, first + piece.numel()).view(piece.shape))
            first += piece.numel()
        bias, *scores, by_planes, by_views, join = places[:6]
        others, pair, by_views = (
            pad(x, (0, 2 * len(bias) - x.shape[1])) for x in (*scores, by_views)
        )
        heads = places[6:]
        empty = -sum(HEADS.values()) % LANES
        layers = (
            torch.cat([by_planes, by_views], 1), join,
            torch.cat(heads[0::4]), torch.cat(heads[1::4]),
            pad(torch.block_diag(*heads[2::4]), (0, 0, 0, empty)),
            pad(torch.cat(heads[3::4]), (0, empty)),
        )  # fmt: skip
        aware = self.tssf is not None and self.tssf.fusion == "da"
        return Layout.of((bias, others[0], pair[0]), layers, aware)


def head(width: int, size: int) -> nn.Sequential:
    """From what is joined, [.., width], to what is added to a parameter, [.., size]."""
    return nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, size))
