"""TSSF's Triton kernel: values and gradients."""

from __future__ import annotations

import copy

import pytest

from ds4d.fourd.tssf import TSSF
from tests.kernels.triton.reference import (
    CHANNELS,
    ODD,
    SIDE,
    C,
    K,
    V,
    agree,
    double,
    lookup,
    random,
    scattered,
)  # fmt: skip


@pytest.mark.parametrize("width", [C, ODD])
def test_fused_features_and_gradients(by_triton, width):
    tssf = scattered(TSSF(CHANNELS, width, "da"))
    reference = copy.deepcopy(tssf).double()
    maps = random(K, V, SIDE, SIDE + 1, width).requires_grad_()
    precise = maps.detach().double().requires_grad_()
    got, want = tssf(maps, lookup()), reference(precise, double(lookup()))
    names = "reduce.bias", "score_others.weight", "score_pair.weight"
    weights = ([m.get_parameter(name) for name in names] for m in (tssf, reference))
    agree(got, want, [maps, *next(weights)], [precise, *next(weights)])
    assert got[:, 0].abs().max() == 0
