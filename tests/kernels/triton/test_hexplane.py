"""HexPlane's Triton kernels: values and gradients."""

from __future__ import annotations

import copy

import pytest
import torch

from ds4d.fourd.hexplane import HexPlane
from tests.kernels.triton.reference import DEVICE, ODD, C, N, agree, random, scattered


@pytest.mark.parametrize("half_time", [False, True])
@pytest.mark.parametrize("width", [C, ODD])
def test_features_and_gradients(by_triton, half_time, width):
    planes = scattered(HexPlane(4, 5, 2, width, 0.6, half_time))
    reference = copy.deepcopy(planes).double()
    means, positions = 0.5 * random(N, 3), torch.tensor([0.37, 1.0], device=DEVICE)
    got, want = planes(means, positions), reference(means.double(), positions.double())
    agree(got, want, [*planes.parameters()], [*reference.parameters()])
