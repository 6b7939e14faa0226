"""The deformation network against a literal transcription of eq. 5, and its promises."""

import dataclasses

import numpy as np
import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.deformation import HEADS, Deformation, build_deformation
from ds4d.fourd.gaussians import deformed, from_points
from ds4d.fourd.tssf import Lookup


def small(**changes) -> tuple[Deformation, tuple]:
    config = dataclasses.replace(
        FourdConfig(), plane_size=4, plane_width=3, feature_width=4, hidden_width=8, **changes
    )
    network = build_deformation(config, channels=6)
    network.reset(torch.Generator().manual_seed(0), config.zero_heads)
    generator = torch.Generator().manual_seed(1)
    means = torch.rand(10, 3, generator=generator) - 0.5
    maps = torch.randn(7, 5, 5, 6, generator=generator)
    grid = torch.rand(7, 10, 2, generator=generator) * 1.6 - 0.8
    lookup = Lookup(grid, torch.ones(7, 10))
    return network, (means, maps, lookup)


def apply(network: Deformation, inputs: tuple):
    means, maps, lookup = inputs
    return network(means, 0.3, network.reduced(maps), lookup)


def test_nothing_moves_at_the_start():
    offsets = apply(*small(zero_heads=True))
    for name, width in HEADS.items():
        assert getattr(offsets, name).shape == (1, 10, width)
        assert getattr(offsets, name).abs().max() == 0


def literal_layer(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return np.array(
        [
            sum(w * a for w, a in zip(row, x, strict=True)) + b
            for row, b in zip(weight, bias, strict=True)
        ]
    )


@pytest.mark.parametrize("layers", [1, 3])
def test_both_features_are_combined_by_the_letter(layers):
    """Eq. 5 and what follows it: one linear layer of [HexPlane, fused] features, then a head's two
    for each parameter, added to it as it is stored."""
    network, (means, maps, lookup) = small(zero_heads=False, hidden_layers=layers)
    network, means, maps = network.double(), means.double(), maps.double()
    lookup = Lookup(lookup.grid.double(), lookup.visible.double())
    reduced, moment = network.reduced(maps), torch.tensor([0.3], dtype=torch.float64)
    of_place = network.planes(means, moment)[0].detach().numpy()
    of_views = network.tssf(reduced, lookup).detach().numpy()
    offsets = network(means, 0.3, reduced, lookup)
    joined = torch.nn.Linear(1, 1).double()  # both halves as one layer
    weights = [network.join_planes.weight, network.join_views.weight]
    joined.weight, joined.bias = torch.nn.Parameter(torch.cat(weights, 1)), network.join_planes.bias
    for n in range(len(means)):
        hidden = literal_layer(joined, np.concatenate([of_place[n], of_views[n]]))
        for layer in network.trunk[1::2]:
            hidden = literal_layer(layer, np.maximum(hidden, 0))
        for name, head in network.heads.items():
            inner = literal_layer(head[1], np.maximum(hidden, 0))
            want = literal_layer(head[3], np.maximum(inner, 0))
            np.testing.assert_allclose(getattr(offsets, name)[0, n].detach(), want, atol=1e-10)
    gaussians = from_points(means.float(), torch.rand(len(means), 3))
    moved, quats, scales = deformed(gaussians, offsets)
    torch.testing.assert_close(moved[0], gaussians.means + offsets.means[0])
    torch.testing.assert_close(quats[0], gaussians.quats + offsets.quats[0])
    torch.testing.assert_close(scales[0], (gaussians.log_scales + offsets.log_scales[0]).exp())


SWITCHES = [
    *({"fusion": fusion} for fusion in ("front", "average", "ga", "da")),
    *({"distance": distance} for distance in ("scalar", "alone")),
    *({"fusion": fusion, "scores": "channel"} for fusion in ("ga", "da")),
    {"hidden_layers": 3}, {"features": "none"}, {"plane_levels": 1, "time_map": "half"},
]  # fmt: skip


@pytest.mark.parametrize(
    "changes", SWITCHES, ids=lambda changes: "-".join(map(str, changes.values()))
)
def test_gradients_reach_every_parameter(changes):
    network, inputs = small(zero_heads=False, **changes)
    offsets = apply(network, inputs)
    sum(getattr(offsets, name).square().sum() for name in HEADS).backward()
    for name, parameter in network.named_parameters():
        if "score" in name and name.endswith("bias"):
            continue  # softmax does not change when all scores do
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("fusion", ["average", "ga", "da"])
def test_moments_together_are_the_moments_apart(fusion):
    network, (means, maps, lookup) = small(fusion=fusion)
    reduced = network.reduced(torch.stack([maps, 2 * maps, -maps]))
    positions = torch.tensor([0.1, 0.5, 0.9])
    together = network.at(means, positions, reduced, lookup)
    for k, position in enumerate(positions.tolist()):
        apart = network(means, position, reduced[k], lookup)
        for name in ("means", "log_scales", "quats"):
            torch.testing.assert_close(getattr(together, name)[k], getattr(apart, name)[0])
