"""The regularizers' Triton kernel: values and gradients."""

from __future__ import annotations

import copy
import dataclasses

from torch.autograd import grad

from ds4d.config import FourdConfig
from ds4d.fourd.deformation import build_deformation
from ds4d.fourd.losses import regularizers
from tests.kernels.triton.reference import CHANNELS, C, agree, scattered


def test_regularizers_and_gradients(by_triton):
    config = dataclasses.replace(
        FourdConfig(), plane_size=17, plane_times=5, plane_width=C, smooth_time=5.0,
        smooth_space=3.0, sparse_time=2.0,
    )  # fmt: skip
    network = scattered(build_deformation(config, CHANNELS))
    reference = copy.deepcopy(network).double()
    of, precise = ([*n.planes.parameters()] for n in (network, reference))
    agree(regularizers(network, config), regularizers(reference, config), of, precise)
    for parameter, gradient in zip(of, grad(regularizers(network, config), of), strict=True):
        assert gradient.stride() == parameter.stride()  # or the optimizer would copy it
