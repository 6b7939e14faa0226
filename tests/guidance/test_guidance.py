"""Choice of the perceptual loss and the SDS model, and its facts in the record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ds4d import guidance
from ds4d.cameras import rig_cameras
from ds4d.config import FourdConfig, MachineConfig
from ds4d.errors import UserError
from ds4d.presets import PRESETS
from tests.fakes import zero123 as tiny
from tests.stages import finished

CPU = MachineConfig(device="cpu")


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """No weights but those that a test makes."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("ds4d.weights.reachability.obstacle", lambda _: "this machine is offline")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("weights")
    tiny.make(folder)
    (folder / "torchvision").mkdir()
    return str(folder)


def test_preview_needs_no_network():
    chosen = guidance.choose(FourdConfig(), CPU)
    assert chosen.facts == {
        "perceptual_loss": "structural (LPIPS takes seconds a step on a CPU)",
        "sds": "off (its weight is 0)",
        "weights": (),
    }
    assert chosen.made_from == ()
    assert chosen.perceptual(torch.device("cpu")) is None
    images = np.zeros((1, 7, 8, 8, 4), np.uint8)
    _, sds = finished(chosen.sds(images, rig_cameras(8), 0, torch.device("cpu")))
    assert sds is None


def test_paper_without_weights_goes_on_and_says_so():
    chosen = guidance.choose(PRESETS["paper"].fourd, CPU)
    assert chosen.sds_model == "off" and chosen.perceptual_loss == "structural"
    assert "zero123-xl" in chosen.facts["sds"] and "offline" in chosen.facts["sds"]


@pytest.mark.parametrize("model", ["zero123-xl", "stable-zero123"])
def test_sds_runs_on_a_cpu_from_the_users_own_folder(weights, model):
    config = FourdConfig(sds=1.0, sds_model=model)
    chosen = guidance.choose(config, replace(CPU, weights=weights))
    assert chosen.sds_model == model
    assert len(chosen.made_from) == 1 and model in chosen.made_from[0]
    images = np.full((1, 7, 8, 8, 4), 255, np.uint8)
    events, sds = finished(chosen.sds(images, rig_cameras(8), 0, torch.device("cpu")))
    assert events and sds.stable == (model == "stable-zero123")
    sds.free()


def test_a_hub_that_answers_is_not_enough_for_a_cpu(monkeypatch):
    monkeypatch.setattr("ds4d.weights.reachability.obstacle", lambda _: "")
    chosen = guidance.choose(FourdConfig(sds=1.0), CPU)
    assert chosen.sds_model == "off" and "GPU" in chosen.sds_why


def test_lpips_by_name_needs_its_weights():
    with pytest.raises(UserError, match="LPIPS was asked for.*offline"):
        guidance.choose(FourdConfig(perceptual_loss="lpips"), CPU)


def test_lpips_by_name_runs_on_a_cpu(tmp_path):
    from tests.fakes import lpips

    lpips.make(Path(tmp_path))
    chosen = guidance.choose(
        FourdConfig(perceptual_loss="lpips"), replace(CPU, weights=str(tmp_path))
    )
    assert chosen.facts["perceptual_loss"] == "lpips (asked for)" and len(chosen.made_from) == 1
    perceptual = chosen.perceptual(torch.device("cpu"))
    assert perceptual(torch.zeros(2, 16, 16, 3), torch.ones(2, 16, 16, 3)).shape == (2,)


def test_a_weight_of_zero_asks_for_nothing():
    chosen = guidance.choose(FourdConfig(perceptual=0.0, perceptual_loss="lpips"), CPU)
    assert chosen.perceptual_loss == "off" and chosen.perceptual(torch.device("cpu")) is None
