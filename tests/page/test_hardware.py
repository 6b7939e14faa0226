"""Engines that the page offers, by what this machine has."""

from __future__ import annotations

import pytest

from ds4d.weights.find import Found
from page import hardware


@pytest.fixture
def places(monkeypatch):
    """Set where weights are found, and the name of the GPU."""

    def place(where: str, gpu: str = "") -> None:
        found = Found(None, where, "")
        monkeypatch.setattr(hardware, "find", lambda name, folder: found)
        monkeypatch.setattr(hardware, "gpu_name", lambda: gpu)

    for variable in ("DS4D_WEIGHTS", "DS4D_COMMERCIAL", "SPACES_ZERO_GPU"):
        monkeypatch.delenv(variable, raising=False)
    return place


def test_a_cpu_takes_weights_from_the_operators_folder_alone(places, monkeypatch):
    places("hub")
    assert "needs a GPU" in hardware.obstacle("sdxl")
    monkeypatch.setenv("DS4D_WEIGHTS", "/weights")
    places("cache")
    assert "needs a GPU" in hardware.obstacle("sdxl")
    places("folder")
    assert hardware.obstacle("sdxl") == ""


def test_zerogpu_downloads_nothing(places, monkeypatch):
    places("hub", "an H200")
    assert hardware.obstacle("wan") == ""
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    assert "not on this machine" in hardware.obstacle("wan")
    places("cache", "an H200")
    assert hardware.obstacle("wan") == ""
    places("missing", "an H200")
    assert "not on this machine" in hardware.obstacle("wan")


def test_commercial_use_leaves_out_svd(places, monkeypatch):
    places("folder", "an H200")
    assert hardware.obstacle("svd") == ""
    monkeypatch.setenv("DS4D_COMMERCIAL", "1")
    assert "commercial" in hardware.obstacle("svd") and hardware.obstacle("wan") == ""
