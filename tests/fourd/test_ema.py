"""Running means of parameters."""

from __future__ import annotations

import pytest
import torch

from ds4d.fourd.ema import EVERY, Averages


def test_means_forget_by_their_length():
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    averages = Averages([parameter], steps=4 * EVERY)
    expected = parameter.detach().clone()
    for value in (3.0, 5.0, -1.0):
        parameter.data.fill_(value)
        averages.look()
        expected = 0.75 * expected + 0.25 * value
    torch.testing.assert_close(averages.means[0], expected)


def test_what_jumps_about_a_place_is_found_near_it():
    generator = torch.Generator().manual_seed(0)
    place = torch.randn(1000, generator=generator)
    parameter = torch.nn.Parameter(place.clone())
    averages = Averages([parameter], steps=200)
    for _ in range(100):
        parameter.data.copy_(place + torch.randn(1000, generator=generator))
        averages.look()
    assert (averages.means[0] - place).square().mean() < 0.05 * (parameter - place).square().mean()


def test_parameters_are_themselves_again_afterwards():
    parameter = torch.nn.Parameter(torch.ones(3))
    averages = Averages([parameter], steps=2 * EVERY)
    address = parameter.data_ptr()
    parameter.data.fill_(3.0)
    averages.look()
    with averages.shown():
        assert parameter.tolist() == [2.0] * 3 and parameter.data_ptr() == address
    with pytest.raises(KeyError), averages.shown():
        raise KeyError
    assert parameter.tolist() == [3.0] * 3 and averages.means[0].tolist() == [2.0] * 3
