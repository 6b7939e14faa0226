"""How fast each kind of parameter may change, and when."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.deformation import build_deformation
from ds4d.fourd.gaussians import from_points
from ds4d.fourd.optimizer import optimizer_of, set_rates
from ds4d.fourd.view_correction import Warps

CONFIG = replace(FourdConfig(), static_iterations=100, dynamic_iterations=300, plane_size=8)


@pytest.fixture
def optimizer():
    gaussians = from_points(torch.rand(10, 3), torch.rand(10, 3))
    network = build_deformation(CONFIG, channels=4)
    return optimizer_of(gaussians, network, Warps(2, 7), CONFIG, torch.device("cpu"))


def rates(optimizer, step: int) -> dict[str, float]:
    set_rates(optimizer, step, CONFIG)
    return {group["name"]: group["lr"] for group in optimizer.param_groups}


def test_rates_fall_from_first_to_last(optimizer):
    for name in ("means", "network", "planes"):
        first, last = getattr(CONFIG, {"planes": "plane"}.get(name, name) + "_lr")
        assert rates(optimizer, 0)[name] == first
        assert rates(optimizer, 400)[name] == pytest.approx(last)
    first, last = CONFIG.means_lr
    assert rates(optimizer, 200)["means"] == pytest.approx(math.sqrt(first * last))


def test_what_deforms_begins_with_the_motion(optimizer):
    assert rates(optimizer, 99)["network"] == CONFIG.network_lr[0]
    halfway = math.sqrt(CONFIG.plane_lr[0] * CONFIG.plane_lr[1])
    assert rates(optimizer, 250)["planes"] == pytest.approx(halfway)


def test_looks_bends_and_tints_keep_their_rates(optimizer):
    assert rates(optimizer, 0)["sh0"] == rates(optimizer, 400)["sh0"] == CONFIG.color_lr
    assert rates(optimizer, 400)["logits"] == CONFIG.opacity_lr
    assert rates(optimizer, 400)["bends"] == CONFIG.warp_lr
    assert rates(optimizer, 400)["tints"] == CONFIG.tint_lr


def test_every_parameter_is_in_one_group(optimizer):
    parameters = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(parameters) == len(set(parameters))
    names = [group["name"] for group in optimizer.param_groups]
    assert len(names) == len(set(names)) and {"planes", "network", "bends", "tints"} < set(names)
