"""Random modules and inputs, and the comparison with the same module in float64."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import grad

from ds4d.fourd.tssf import Lookup

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
N, K, V, SIDE, C, CHANNELS = 20, 2, 4, 5, 4, 6  # more Gaussians than a program has
ODD = 5  # channels that are no power of two


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def scattered(module: torch.nn.Module) -> torch.nn.Module:
    """The module with random parameters."""
    for seed, parameter in enumerate(module.parameters()):
        parameter.data.copy_(0.5 * random(*parameter.shape, seed=seed))
    return module.to(DEVICE)


def lookup() -> Lookup:
    """Places in and beyond the maps; a few Gaussians that few views see."""
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
