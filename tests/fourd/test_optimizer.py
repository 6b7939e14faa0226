"""Parameter groups, learning-rate schedules and state of the optimizer."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.deformation import build_deformation
from ds4d.fourd.gaussians import from_points
from ds4d.fourd.model import Model
from ds4d.fourd.optimizer import Optimizer
from ds4d.fourd.view_correction import ViewCorrection

CONFIG = replace(FourdConfig(), static_iterations=100, dynamic_iterations=300, plane_size=8)


def build(seed: int = 0) -> tuple[Model, Optimizer]:
    torch.manual_seed(seed)
    gaussians = from_points(torch.rand(10, 3), torch.rand(10, 3))
    for tensor in gaussians.tensors().values():
        tensor.requires_grad_()
    model = Model(gaussians, build_deformation(CONFIG, channels=4))
    return model, Optimizer(model, ViewCorrection(2, 7), CONFIG, torch.device("cpu"))


@pytest.fixture
def optimizer() -> Optimizer:
    return build()[1]


def rates(optimizer: Optimizer, step: int) -> dict[str, float]:
    optimizer.set_rates(step)
    return {group["name"]: group["lr"] for group in optimizer.adam.param_groups}


def test_rates_fall_from_first_to_last(optimizer):
    for name in ("means", "network", "planes"):
        first, last = getattr(CONFIG, {"planes": "plane"}.get(name, name) + "_lr")
        assert rates(optimizer, 0)[name] == first
        assert rates(optimizer, 400)[name] == pytest.approx(last)
    first, last = CONFIG.means_lr
    assert rates(optimizer, 200)["means"] == pytest.approx(math.sqrt(first * last))


def test_rates_of_the_deformation_fall_in_the_dynamic_stage(optimizer):
    assert rates(optimizer, 99)["network"] == CONFIG.network_lr[0]
    halfway = math.sqrt(CONFIG.plane_lr[0] * CONFIG.plane_lr[1])
    assert rates(optimizer, 250)["planes"] == pytest.approx(halfway)


def test_rates_of_appearance_and_view_correction_are_constant(optimizer):
    assert rates(optimizer, 0)["sh0"] == rates(optimizer, 400)["sh0"] == CONFIG.color_lr
    assert rates(optimizer, 400)["logits"] == CONFIG.opacity_lr
    assert rates(optimizer, 400)["view_warp"] == CONFIG.warp_lr
    assert rates(optimizer, 400)["view_color"] == CONFIG.tint_lr


def test_every_parameter_is_in_one_group(optimizer):
    parameters = [p for group in optimizer.adam.param_groups for p in group["params"]]
    addresses = {p.data_ptr() for p in parameters}
    assert len(parameters) == len(addresses)
    assert all(plane.data_ptr() in addresses for plane in optimizer.planes)
    assert all(p.is_contiguous() for p in parameters)  # or fused Adam copies them in every step
    names = [group["name"] for group in optimizer.adam.param_groups]
    assert len(names) == len(set(names))
    assert {"planes", "network", "view_warp", "view_color"} < set(names)


def loss(model: Model) -> torch.Tensor:
    tensors = [*model.gaussians.tensors().values(), *model.network.parameters()]
    return sum((tensor - 0.5).square().sum() for tensor in tensors)


def test_a_restored_optimizer_takes_the_same_steps():
    model, optimizer = build()
    optimizer.set_rates(0)
    for _ in range(3):
        optimizer.minimize(loss(model))
    other, restored = build()
    for a, b in zip(model.network.parameters(), other.network.parameters(), strict=True):
        b.data.copy_(a)
    for name, tensor in model.gaussians.tensors().items():
        getattr(other.gaussians, name).data.copy_(tensor)
    # As a file brings it: contiguous, whatever the layout of the parameter.
    state = {k: v.clone().contiguous() for k, v in optimizer.state_dict().items()}
    restored.load_state_dict(state, other.gaussians)
    restored.set_rates(0)
    for each, its_model in ((optimizer, model), (restored, other)):
        each.minimize(loss(its_model))
    for a, b in zip(model.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(a, b)
    for name, tensor in model.gaussians.tensors().items():
        assert torch.equal(tensor, getattr(other.gaussians, name)), name
