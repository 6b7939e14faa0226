"""Running mean of the trained parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.deformation import build_deformation
from ds4d.fourd.ema import INTERVAL, RunningMean
from ds4d.fourd.gaussians import from_points
from ds4d.fourd.model import Model

CONFIG = replace(FourdConfig(), plane_size=4, plane_times=5)


@pytest.fixture
def model() -> Model:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(100, 3, generator=generator)
    gaussians = from_points(points, points)
    for tensor in gaussians.tensors().values():
        tensor.requires_grad_()
    network = build_deformation(CONFIG, channels=4)
    network.reset(generator, zero_heads=False)
    return Model(gaussians, network)


def parameters(model: Model) -> list[torch.Tensor]:
    return [*model.gaussians.tensors().values(), *model.network.parameters()]


@torch.no_grad()
def test_the_mean_forgets_exponentially(model):
    mean = RunningMean(model, steps=4 * INTERVAL)
    expected = [tensor.clone() for tensor in parameters(model)]
    for value in (3.0, 5.0, -1.0):
        for tensor in parameters(model):
            tensor.fill_(value)
        mean.update(model)
        expected = [0.75 * tensor + 0.25 * value for tensor in expected]
    for average, tensor in zip(parameters(mean.model), expected, strict=True):
        torch.testing.assert_close(average.detach(), tensor)


@torch.no_grad()
def test_noise_about_a_point_is_averaged_away(model):
    generator = torch.Generator().manual_seed(0)
    means = model.gaussians.means
    point = means.clone()
    mean = RunningMean(model, steps=20 * INTERVAL)
    for _ in range(100):
        means.copy_(point + torch.randn(point.shape, generator=generator))
        mean.update(model)
    error = (mean.model.gaussians.means - point).square().mean()
    assert error < 0.05 * (means - point).square().mean()


@torch.no_grad()
def test_the_model_itself_stays_as_it_is(model):
    mean = RunningMean(model, steps=2 * INTERVAL)
    model.gaussians.sh0.fill_(3.0)
    before = model.gaussians.sh0.data_ptr()
    mean.update(model)
    assert model.gaussians.sh0.data_ptr() == before and (model.gaussians.sh0 == 3).all()
    assert not (mean.model.gaussians.sh0 == 3).any()


@torch.no_grad()
def test_the_state_is_restored(model):
    mean = RunningMean(model, steps=2 * INTERVAL)
    for tensor in parameters(model):
        tensor += 1
    mean.update(model)
    state = {name: tensor.detach().clone() for name, tensor in mean.state_dict().items()}
    restored = RunningMean(model, steps=2 * INTERVAL)
    restored.load_state_dict(state)
    for each in (mean, restored):
        each.update(model)
    for a, b in zip(parameters(mean.model), parameters(restored.model), strict=True):
        assert torch.equal(a, b)
