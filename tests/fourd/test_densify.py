"""Densification: which Gaussians are cloned, split and removed, with the optimizer's state."""

import dataclasses

import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.densify import Densifier, Statistics, densify, rotate
from ds4d.fourd.gaussians import Gaussians, from_points

N = 80
CONFIG = dataclasses.replace(FourdConfig(), max_gaussians=1000, densify_share=0.1)


@pytest.fixture
def state():
    """Gaussians whose means are their index, an Adam that has stepped, and rising gradients."""
    gaussians = from_points(torch.rand(N, 3), torch.rand(N, 3), knots=4)
    gaussians.means[:, 0] = torch.arange(N)
    gaussians.log_scales[:] = torch.tensor(0.01).log()
    for tensor in gaussians.tensors().values():
        tensor.requires_grad_()
    groups = [{"name": k, "params": [v], "lr": 0.0} for k, v in gaussians.tensors().items()]
    optimizer = torch.optim.Adam(groups)
    sum((t * (1 + torch.arange(N).view(N, *[1] * (t.ndim - 1)))).sum()
        for t in gaussians.tensors().values()).backward()  # fmt: skip
    optimizer.step()
    statistics = Statistics(torch.arange(N).float(), torch.ones(N))
    return gaussians, optimizer, statistics


def run(state, config=CONFIG) -> Gaussians:
    return densify(*state, config, torch.Generator().manual_seed(0))


def test_small_ones_with_the_largest_gradients_are_cloned(state):
    after = run(state)
    added = after.means[N:, 0].round().int().tolist()
    assert sorted(added) == list(range(N - len(added), N))
    assert len(added) == int(0.1 * (N - 1))  # the first has no gradient and does not count


def test_large_ones_are_replaced_by_two_smaller_halves_inside_them(state):
    with torch.no_grad():
        state[0].log_scales[-1] = torch.tensor(0.08).log()
    config = dataclasses.replace(CONFIG, prune_scales=(0.0, 1.0))
    after = run(state, config)
    halves = after.means[:, 0] > N - 1.5
    assert halves.sum() == 2
    torch.testing.assert_close(after.log_scales[halves].exp(), torch.full((2, 3), 0.05))
    assert (after.means[halves, 0] - (N - 1)).abs().max() < 0.5


def test_useless_ones_go(state):
    with torch.no_grad():
        state[0].logits[3] = -9
        state[0].log_scales[5] = torch.tensor(0.5).log()
        state[0].log_scales[7] = torch.tensor(1e-5).log()
    left = set(run(state).means[:, 0].round().int().tolist())
    assert left == set(range(N)) - {3, 5, 7}


def test_the_limit_holds(state):
    after = run(state, dataclasses.replace(CONFIG, max_gaussians=N + 2))
    assert len(after) == N + 2


def test_moments_follow_their_gaussians_and_start_at_zero_for_new_ones(state):
    before = {
        group["name"]: state[1].state[group["params"][0]]["exp_avg"].clone()
        for group in state[1].param_groups
    }
    after = run(state)
    for group in state[1].param_groups:
        parameter = group["params"][0]
        assert parameter is getattr(after, group["name"])
        moments = state[1].state[parameter]["exp_avg"]
        assert torch.equal(moments[:N], before[group["name"]])
        assert moments[N:].abs().max() == 0
    assert len(state[1].state) == len(state[1].param_groups)


def test_the_schedule_has_a_beginning_an_interval_and_an_end():
    config = dataclasses.replace(CONFIG, densify_from=20, densify_until=100, densify_every=20)
    densifier = Densifier(config, N, torch.device("cpu"))
    assert [steps for steps in range(200) if densifier.due(steps)] == [40, 60, 80]
    assert densifier.collects(99) and not densifier.collects(100)


def test_statistics_begin_again_after_a_densification_and_are_restored(state):
    gaussians, optimizer, statistics = state
    densifier = Densifier(CONFIG, N, torch.device("cpu"))
    restored = Densifier(CONFIG, N, torch.device("cpu"))
    densifier.statistics = statistics
    restored.load_state_dict(densifier.state_dict())
    assert torch.equal(restored.statistics.mean(), statistics.mean())
    after = densifier.densify(gaussians, optimizer, torch.Generator().manual_seed(0))
    assert len(after) > N and len(densifier.statistics.gradients) == len(after)
    assert not densifier.statistics.gradients.any()


def test_rotation_by_a_quaternion():
    half = torch.tensor(torch.pi / 4)
    quat = torch.tensor([[half.cos(), 0, 0, half.sin()]]) * 3  # a quarter turn about z, any length
    turned = rotate(quat, torch.tensor([[1.0, 0, 2.0]]))
    torch.testing.assert_close(turned, torch.tensor([[0.0, 1.0, 2.0]]), atol=1e-6, rtol=0)
