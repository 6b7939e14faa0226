"""The deformation network against a literal transcription of eq. 5, and its promises."""

import dataclasses

import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.deformation import HEADS, Deformation
from ds4d.fourd.tssf import Lookup


def small(**changes) -> tuple[Deformation, tuple]:
    config = dataclasses.replace(
        FourdConfig(), plane_size=4, plane_width=3, feature_width=4, hidden_width=8, **changes
    )
    network = Deformation(config, channels=6)
    network.reset(torch.Generator().manual_seed(0), config.zero_heads)
    generator = torch.Generator().manual_seed(1)
    means = torch.rand(10, 3, generator=generator) - 0.5
    maps = torch.randn(7, 5, 5, 6, generator=generator)
    grid = torch.rand(7, 10, 2, generator=generator) * 1.6 - 0.8
    lookup = Lookup(grid, torch.ones(7, 10))
    return network, (means, maps, lookup)


def apply(network: Deformation, inputs: tuple):
    means, maps, lookup = inputs
    return network(means, 0.3, network.tssf.reduced(maps), lookup)


def test_nothing_moves_at_the_start():
    offsets = apply(*small(zero_heads=True))
    for name, width in HEADS.items():
        assert getattr(offsets, name).shape == (1, 10, width)
        assert getattr(offsets, name).abs().max() == 0


@pytest.mark.parametrize("fusion", ["average", "ga", "da"])
def test_gradients_reach_every_parameter(fusion):
    network, inputs = small(zero_heads=False, fusion=fusion)
    offsets = apply(network, inputs)
    sum(getattr(offsets, name).square().sum() for name in HEADS).backward()
    for name, parameter in network.named_parameters():
        # A bias that is added to all scores of a softmax changes nothing: its gradient is zero.
        shift_of_scores = "score" in name and name.endswith("bias")
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0 or shift_of_scores, name


@pytest.mark.parametrize("fusion", ["average", "ga", "da"])
def test_moments_together_are_the_moments_apart(fusion):
    network, (means, maps, lookup) = small(fusion=fusion)
    reduced = network.tssf.reduced(torch.stack([maps, 2 * maps, -maps]))
    positions = torch.tensor([0.1, 0.5, 0.9])
    together = network.at(means, positions, reduced, lookup)
    for k, position in enumerate(positions.tolist()):
        apart = network(means, position, reduced[k], lookup)
        for name in ("means", "log_scales", "quats"):
            torch.testing.assert_close(getattr(together, name)[k], getattr(apart, name)[0])
