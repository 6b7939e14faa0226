from __future__ import annotations

import shutil
import weakref
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from ds4d.config import MachineConfig
from ds4d.multiview.zero123plus import generate
from ds4d.multiview.zero123plus.load import load_unet
from tests.fakes import zero123plus as tiny


@pytest.fixture(scope="package")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.make(folder)
    return folder


@pytest.fixture(scope="package")
def machine(weights) -> MachineConfig:
    return MachineConfig(device="cpu", weights=str(weights))


@pytest.fixture
def copied(weights, tmp_path) -> Path:
    """Zero123++ v1.2 to be spoiled."""
    return shutil.copytree(weights / "sudo-ai" / "zero123plus-v1.2", tmp_path / "model")


@pytest.fixture(scope="module")
def unet(weights) -> UNet2DConditionModel:
    folder = weights / "sudo-ai" / "zero123plus-v1.2" / "unet"
    return load_unet(folder, torch.device("cpu"), torch.float32)


@pytest.fixture
def networks(monkeypatch) -> list[weakref.ref]:
    """Weak references to the UNets that are loaded from now on."""
    loaded, load = [], generate.load_unet

    def listening(*args):
        unet = load(*args)
        loaded.append(weakref.ref(unet))
        return unet

    monkeypatch.setattr(generate, "load_unet", listening)
    return loaded
