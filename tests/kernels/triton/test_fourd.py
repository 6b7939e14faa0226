"""The deformation's Triton kernels against the torch modules in float64, values and gradients.

On a CPU they run in Triton's interpreter.
"""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor
from torch.autograd import grad

from ds4d.config import FourdConfig
from ds4d.fourd.deformation import HEADS, Deformation
from ds4d.fourd.hexplane import HexPlane
from ds4d.fourd.losses import regularisers
from ds4d.fourd.tssf import TSSF, Lookup
from ds4d.kernels import dispatch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
N, K, V, SIDE, C, CHANNELS = 20, 2, 4, 5, 4, 6  # more Gaussians than a program has


@pytest.fixture(autouse=True)
def by_triton(monkeypatch):
    """float32 goes to the kernels, float64 to torch."""
    monkeypatch.setattr(dispatch, "fit", lambda tensor: False)
    monkeypatch.setattr(dispatch, "fit_gpu", lambda tensor, *_: tensor.dtype == torch.float32)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def scattered(module: torch.nn.Module) -> torch.nn.Module:
    """The module with random parameters."""
    for seed, parameter in enumerate(module.parameters()):
        parameter.data.copy_(0.5 * random(*parameter.shape, seed=seed))
    return module.to(DEVICE)


def lookup() -> Lookup:
    """Some places beyond the maps, some Gaussians that few views see."""
    grid = torch.rand(V, N, 2, generator=torch.Generator().manual_seed(1)) * 2.4 - 1.2
    visible = (random(V, N) > -0.5).float()
    visible[:, 0] = 0  # seen by nobody
    visible[0, 1] = 0  # not by the front
    visible[1:, 2] = 0  # by the front alone
    return Lookup(grid.to(DEVICE), visible)


def double(lookup: Lookup) -> Lookup:
    return Lookup(lookup.grid.double(), lookup.visible.double())


def agree(got: Tensor, want: Tensor, of: list[Tensor], reference: list[Tensor]) -> None:
    """Values and gradients; a gradient of None is zero."""
    torch.testing.assert_close(got, want.float(), rtol=1e-4, atol=1e-5)
    v = random(*got.shape, seed=9)
    gradients = grad(got, of, v, allow_unused=True), grad(want, reference, v.double())
    for mine, theirs in zip(*gradients, strict=True):
        mine = torch.zeros_like(theirs) if mine is None else mine
        torch.testing.assert_close(mine.float(), theirs.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("half_time", [False, True])
def test_planes(half_time):
    planes = scattered(HexPlane(4, 5, 2, C, 0.6, half_time))
    reference = copy.deepcopy(planes).double()
    means, positions = 0.5 * random(N, 3), torch.tensor([0.37, 1.0], device=DEVICE)
    got, want = planes(means, positions), reference(means.double(), positions.double())
    agree(got, want, [*planes.parameters()], [*reference.parameters()])


def test_fusion():
    tssf = scattered(TSSF(CHANNELS, C, "da"))
    reference = copy.deepcopy(tssf).double()
    maps = random(K, V, SIDE, SIDE + 1, C).requires_grad_()
    precise = maps.detach().double().requires_grad_()
    got, want = tssf(maps, lookup()), reference(precise, double(lookup()))
    names = "reduce.bias", "score_others.weight", "score_pair.weight"
    weights = ([m.get_parameter(name) for name in names] for m in (tssf, reference))
    agree(got, want, [maps, *next(weights)], [precise, *next(weights)])
    assert got[:, 0].abs().max() == 0


def test_regularisers():
    config = dataclasses.replace(
        FourdConfig(), plane_size=17, plane_times=5, plane_width=C, smooth_time=5.0,
        smooth_space=3.0, sparse_time=2.0,
    )  # fmt: skip
    network = scattered(Deformation(config, CHANNELS))
    reference = copy.deepcopy(network).double()
    of, precise = ([*n.planes.parameters()] for n in (network, reference))
    agree(regularisers(network, config), regularisers(reference, config), of, precise)
    for parameter, gradient in zip(of, grad(regularisers(network, config), of), strict=True):
        assert gradient.stride() == parameter.stride()  # or the optimizer would copy it


def test_all_together():
    config = dataclasses.replace(
        FourdConfig(), plane_size=4, plane_times=5, plane_width=C, feature_width=C, hidden_width=8
    )
    network = scattered(Deformation(config, CHANNELS))
    reference = copy.deepcopy(network).double()
    means, positions = 0.5 * random(N, 3), torch.tensor([0.1, 0.8], device=DEVICE)
    maps = random(K, V, SIDE, SIDE, CHANNELS)
    reduced = network.tssf.reduced(maps), reference.tssf.reduced(maps.double())
    got = network.at(means, positions, reduced[0], lookup())
    want = reference.at(means.double(), positions.double(), reduced[1], double(lookup()))
    got, want = (torch.cat([getattr(o, name) for name in HEADS], -1) for o in (got, want))
    agree(got, want, [*network.parameters()], [*reference.parameters()])


def test_heads_as_one():
    network = scattered(Deformation(FourdConfig(), CHANNELS)).double()
    hidden = random(K, N, 32).double()
    together = network._heads_as_one(hidden)
    for name, head in network.heads.items():
        torch.testing.assert_close(getattr(together, name), head(hidden))
