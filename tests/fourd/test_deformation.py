"""HexPlane against a literal transcription, and the deformation network's promises."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.deformation import HEADS, Deformation
from ds4d.fourd.hexplane import HexPlane
from ds4d.fourd.tssf import Lookup

SIZE, TIMES, LEVELS, WIDTH, BOUND = 4, 5, 2, 3, 0.6


def planes(half_time: bool = False) -> HexPlane:
    hexplane = HexPlane(SIZE, TIMES, LEVELS, WIDTH, BOUND, half_time)
    generator = torch.Generator().manual_seed(0)
    for parameter in hexplane.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return hexplane


def literal_look_up(plane: np.ndarray, x: float, y: float) -> np.ndarray:
    """Bilinear sample of [C, h, w] at (x, y) in [-1, 1], corners aligned, border held."""
    _, height, width = plane.shape
    column = np.clip((x + 1) / 2 * (width - 1), 0, width - 1)
    row = np.clip((y + 1) / 2 * (height - 1), 0, height - 1)
    c, r = min(int(column), width - 2), min(int(row), height - 2)
    a, b = column - c, row - r
    top = plane[:, r, c] * (1 - a) + plane[:, r, c + 1] * a
    return top * (1 - b) + (plane[:, r + 1, c] * (1 - a) + plane[:, r + 1, c + 1] * a) * b


@pytest.mark.parametrize("half_time", [False, True])
@pytest.mark.parametrize("moment", range(3))
def test_hexplane_matches_the_letter(half_time, moment):
    hexplane, positions = planes(half_time), torch.tensor([0.0, 0.37, 1.0])
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(1)) * 1.6 - 0.8
    got = hexplane(points, positions)[moment].detach().numpy()
    position = float(positions[moment])
    time = position if half_time else 2 * position - 1
    for index, point in enumerate((points / BOUND).tolist()):
        for level in range(LEVELS):
            space = hexplane.space[level].detach().double().numpy()
            over_time = hexplane.time[level].detach().double().numpy()
            want = np.ones(WIDTH)
            for plane, (a, b) in enumerate(itertools.combinations(range(3), 2)):
                want = want * literal_look_up(space[plane], point[a], point[b])
            for axis in range(3):
                want = want * literal_look_up(over_time[axis], point[axis], time)
            found = got[index, level * WIDTH : (level + 1) * WIDTH]
            np.testing.assert_allclose(found, want, rtol=2e-4, atol=2e-5)


def test_smoothness_is_the_mean_squared_second_difference():
    hexplane = planes()
    time, space = hexplane.smoothness()
    for group, got in ((hexplane.time, time), (hexplane.space, space)):
        want = 0.0
        for level in group:
            for plane in level.detach().double().numpy():
                want += (np.diff(plane, n=2, axis=1) ** 2).mean()
        assert got.item() == pytest.approx(want, rel=1e-5)


def test_fresh_planes_do_not_depend_on_time():
    hexplane = planes()
    hexplane.reset(torch.Generator().manual_seed(0))
    points = torch.rand(9, 3) - 0.5
    first, second = hexplane(points, torch.tensor([0.1, 0.8]))
    torch.testing.assert_close(first, second)
    assert hexplane.sparseness().item() == 0


def small(**changes) -> tuple[Deformation, tuple]:
    config = dataclasses.replace(
        FourdConfig(), plane_size=4, plane_width=3, feature_width=4, hidden_width=8, **changes
    )
    network = Deformation(config, channels=6)
    network.reset(torch.Generator().manual_seed(0), config.zero_heads)
    generator = torch.Generator().manual_seed(1)
    means = torch.rand(10, 3, generator=generator) - 0.5
    maps = torch.randn(7, 5, 5, 6, generator=generator)
    grid = torch.rand(7, 10, 2, generator=generator) * 1.6 - 0.8
    lookup = Lookup(grid, torch.ones(7, 10))
    return network, (means, maps, lookup)


def apply(network: Deformation, inputs: tuple):
    means, maps, lookup = inputs
    return network(means, 0.3, network.tssf.reduced(maps), lookup)


def test_nothing_moves_at_the_start():
    offsets = apply(*small(zero_heads=True))
    for name, width in HEADS.items():
        assert getattr(offsets, name).shape == (1, 10, width)
        assert getattr(offsets, name).abs().max() == 0


@pytest.mark.parametrize("fusion", ["average", "ga", "da"])
def test_gradients_reach_every_parameter(fusion):
    network, inputs = small(zero_heads=False, fusion=fusion)
    offsets = apply(network, inputs)
    sum(getattr(offsets, name).square().sum() for name in HEADS).backward()
    for name, parameter in network.named_parameters():
        # A bias that is added to all scores of a softmax changes nothing: its gradient is zero.
        shift_of_scores = "score" in name and name.endswith("bias")
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0 or shift_of_scores, name


@pytest.mark.parametrize("fusion", ["average", "ga", "da"])
def test_moments_together_are_the_moments_apart(fusion):
    network, (means, maps, lookup) = small(fusion=fusion)
    reduced = network.tssf.reduced(torch.stack([maps, 2 * maps, -maps]))
    positions = torch.tensor([0.1, 0.5, 0.9])
    together = network.at(means, positions, reduced, lookup)
    for k, position in enumerate(positions.tolist()):
        apart = network(means, position, reduced[k], lookup)
        for name in ("means", "log_scales", "quats"):
            torch.testing.assert_close(getattr(together, name)[k], getattr(apart, name)[0])
