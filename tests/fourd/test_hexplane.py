"""HexPlane against a literal transcription, in cubes, and in boxes as published networks have."""

import itertools

import numpy as np
import pytest
import torch

from ds4d.fourd.hexplane import HexPlane
from tests.fourd.official import BoxPlanes

TIMES, LEVELS, WIDTH = 5, 2, 3
BOX = torch.tensor([[0.75, -0.5, -0.25], [-0.625, 0.875, 0.375]])  # mirrored along x
BOUND = 0.625
SHAPES = ("cube", "box")


def planes(shape: str = "cube", half_time: bool = False) -> HexPlane:
    if shape == "cube":
        hexplane = HexPlane(4, TIMES, LEVELS, WIDTH, BOUND, half_time)
    else:
        hexplane = BoxPlanes((4, 3, 5), TIMES, LEVELS, WIDTH, BOX)
        hexplane.half_time = half_time
    generator = torch.Generator().manual_seed(0)
    for parameter in hexplane.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return hexplane.double()


def literal_look_up(plane: np.ndarray, x: float, y: float) -> np.ndarray:
    """Bilinear sample of [C, h, w] at (x, y) in [-1, 1], corners aligned, border held."""
    _, height, width = plane.shape
    column = np.clip((x + 1) / 2 * (width - 1), 0, width - 1)
    row = np.clip((y + 1) / 2 * (height - 1), 0, height - 1)
    c, r = min(int(column), width - 2), min(int(row), height - 2)
    a, b = column - c, row - r
    top = plane[:, r, c] * (1 - a) + plane[:, r, c + 1] * a
    return top * (1 - b) + (plane[:, r + 1, c] * (1 - a) + plane[:, r + 1, c + 1] * a) * b


def literal(hexplane: HexPlane, point: list[float], position: float, shape: str) -> np.ndarray:
    """Features of one place at one moment."""
    corners = torch.tensor([[-BOUND] * 3, [BOUND] * 3]) if shape == "cube" else BOX
    first, last = corners.double().numpy()
    at = [2 * (p - a) / (b - a) - 1 for p, a, b in zip(point, first, last, strict=True)]
    time = position if hexplane.half_time else 2 * position - 1
    levels = []
    for space, over_time in zip(hexplane.space, hexplane.time, strict=True):
        product = np.ones(WIDTH)
        for plane, (a, b) in zip(space, itertools.combinations(range(3), 2), strict=True):
            product = product * literal_look_up(plane.detach().numpy(), at[a], at[b])
        for plane, x in zip(over_time, at, strict=True):
            product = product * literal_look_up(plane.detach().numpy(), x, time)
        levels.append(product)
    return np.concatenate(levels)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("half_time", [False, True])
def test_matches_the_letter(shape, half_time):
    hexplane, positions = planes(shape, half_time), torch.tensor([0.0, 0.37, 1.0])
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(20, 3, generator=generator, dtype=torch.float64) * 1.8 - 0.9
    got = hexplane(points, positions.double()).detach().numpy()
    assert got.shape == (3, 20, LEVELS * WIDTH)
    for moment, position in enumerate(positions.double().tolist()):
        for index, point in enumerate(points.tolist()):
            want = literal(hexplane, point, position, shape)
            np.testing.assert_allclose(got[moment, index], want, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_smoothness_is_the_mean_squared_second_difference(shape):
    hexplane = planes(shape)
    time, space = hexplane.smoothness()
    for group, got in ((hexplane.time, time), (hexplane.space, space)):
        want = 0.0
        for plane in (plane for planes in group for plane in planes):
            want += (np.diff(plane.detach().numpy(), n=2, axis=1) ** 2).mean()
        assert got.item() == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_sparseness_is_the_mean_distance_of_time_planes_from_one(shape):
    hexplane = planes(shape)
    want = sum(np.abs(p.detach().numpy() - 1).mean() for planes in hexplane.time for p in planes)
    assert hexplane.sparseness().item() == pytest.approx(want, rel=1e-9)


def test_fresh_planes_do_not_depend_on_time():
    hexplane = planes()
    hexplane.reset(torch.Generator().manual_seed(0))
    points = torch.rand(9, 3, dtype=torch.float64) - 0.5
    first, second = hexplane(points, torch.tensor([0.1, 0.8], dtype=torch.float64))
    torch.testing.assert_close(first, second)
    assert hexplane.sparseness().item() == 0


def test_beyond_the_box_its_border_holds():
    hexplane = planes()
    inside, outside = torch.tensor([[0.625, 0.1, -0.625]]), torch.tensor([[3.0, 0.1, -9.0]])
    moment = torch.tensor([0.5], dtype=torch.float64)
    torch.testing.assert_close(
        hexplane(inside.double(), moment), hexplane(outside.double(), moment)
    )
