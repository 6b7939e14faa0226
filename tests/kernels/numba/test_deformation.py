"""The kernels against the torch modules in float64."""

import copy
import dataclasses

import numba
import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.deformation import HEADS, Deformation, build_deformation
from ds4d.fourd.tssf import Lookup

N, V, h, w, CHANNELS = 150, 7, 5, 6, 10
LARGER = {"plane_width": 32, "feature_width": 32, "hidden_width": 48, "plane_levels": 3}
ODD = {"plane_width": 5, "feature_width": 18, "hidden_width": 21}


def network(**changes) -> Deformation:
    sizes = {"plane_size": 4, "plane_width": 16, "feature_width": 16, "hidden_width": 16}
    config = dataclasses.replace(FourdConfig(), **{**sizes, **changes})
    network = build_deformation(config, CHANNELS)
    generator = torch.Generator().manual_seed(0)
    network.reset(generator, zero_heads=False)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def inputs() -> tuple:
    """Centres, some beyond the planes, maps, and a lookup with every kind of blindness."""
    generator = torch.Generator().manual_seed(1)
    means = 1.5 * torch.rand(N, 3, generator=generator) - 0.75
    maps = torch.randn(V, h, w, CHANNELS, generator=generator)
    grid = 2.4 * torch.rand(V, N, 2, generator=generator) - 1.2
    visible = (torch.rand(V, N, generator=generator) > 0.4).float()
    visible[:, 0] = 0  # seen by nobody
    visible[0, 1] = 0  # not by the front
    visible[1:, 2], visible[0, 2] = 0, 1  # by the front alone
    return means, maps, grid, visible


def outputs(network: Deformation, dtype: torch.dtype, *positions: float) -> list[torch.Tensor]:
    """Offsets at some moments, each with maps of its own, then the gradient of a functional of them
    in every parameter."""
    network = copy.deepcopy(network).to(dtype)
    means, maps, grid, visible = (x.to(dtype) for x in inputs())
    maps = torch.stack([maps.roll(moment, 0) for moment in range(len(positions))])
    reduced = maps[:, :0, :0, :0, :0] if network.tssf is None else network.reduced(maps)
    moments = torch.tensor(positions, dtype=dtype)
    offsets = network.at(means, moments, reduced, Lookup(grid, visible))
    found = [getattr(offsets, name) for name in HEADS]
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in found]
    sum((x * weight).sum() for x, weight in zip(found, weights, strict=True)).backward()
    return found + [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("positions", [(0.0,), (0.43,), (1.0,), (0.7, 0.1, 0.12)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        LARGER,
        ODD,
        {"features": "none"},
        {"hidden_layers": 3},
        *({"fusion": f} for f in ("front", "average", "ga")),
        {**ODD, "fusion": "ga"},
    ],
)
def test_offsets_and_gradients_match_the_modules(changes, positions):
    net = network(**changes)
    ours, theirs = (outputs(net, dtype, *positions) for dtype in (torch.float32, torch.float64))
    names = [*HEADS, *(name for name, _ in net.named_parameters())]
    for name, one, other in zip(names, ours, theirs, strict=True):
        if "score" in name and name.endswith("bias"):
            assert one is None and other.abs().max() < 1e-9, name  # softmax ignores it
            continue
        worst = (one - other).abs().max() / other.abs().max()
        assert worst < 2e-5, name


def test_the_number_of_threads_does_not_matter():
    net, before = network(), numba.get_num_threads()
    runs = []
    try:
        for threads in {1, before}:
            numba.set_num_threads(threads)
            runs += [outputs(net, torch.float32, 0.3, 0.6) for _ in range(2)]
    finally:
        numba.set_num_threads(before)
    for run in runs[1:]:
        for one, other in zip(runs[0], run, strict=True):
            assert one is None or torch.equal(one, other)
