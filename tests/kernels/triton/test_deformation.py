"""The deformation network on Triton's kernels: values and gradients."""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch.nn.functional import linear

from ds4d.config import FourdConfig
from ds4d.fourd.deformation import HEADS, build_deformation
from tests.kernels.triton.reference import (
    CHANNELS,
    DEVICE,
    SIDE,
    C,
    K,
    N,
    V,
    agree,
    double,
    lookup,
    random,
    scattered,
)  # fmt: skip


def test_offsets_and_gradients(by_triton):
    config = dataclasses.replace(
        FourdConfig(), plane_size=4, plane_times=5, plane_width=C, feature_width=C, hidden_width=8
    )
    network = scattered(build_deformation(config, CHANNELS))
    reference = copy.deepcopy(network).double()
    means, positions = 0.5 * random(N, 3), torch.tensor([0.1, 0.8], device=DEVICE)
    maps = random(K, V, SIDE, SIDE, CHANNELS)
    reduced = network.tssf.reduced(maps), reference.tssf.reduced(maps.double())
    got = network.at(means, positions, reduced[0], lookup())
    want = reference.at(means.double(), positions.double(), reduced[1], double(lookup()))
    got, want = (torch.cat([getattr(o, name) for name in HEADS], -1) for o in (got, want))
    agree(got, want, [*network.parameters()], [*reference.parameters()])


def test_heads_side_by_side_are_the_heads():
    network = scattered(build_deformation(FourdConfig(), CHANNELS)).double()
    hidden = random(K, N, 32).double()
    first, last = network._heads_side_by_side()
    offsets = network._split(linear(linear(hidden.relu(), *first).relu(), *last))
    for name, head in network.heads.items():
        torch.testing.assert_close(getattr(offsets, name), head(hidden))
