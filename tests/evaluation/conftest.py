"""Small networks that score images and videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from ds4d.evaluation import networks
from tests.fakes import judges, lpips


@pytest.fixture(scope="session")
def judge_weights(tmp_path_factory) -> Path:
    """Random weights of all networks that score, in the published layouts."""
    folder = tmp_path_factory.mktemp("judges")
    judges.make(folder)
    lpips.make(folder)
    return folder


@pytest.fixture
def weights(monkeypatch, judge_weights) -> Path:
    """The folder of these weights; networks are as narrow as they, and see small images."""
    monkeypatch.setattr(networks, "SIDE", 64)
    monkeypatch.setattr(networks, "INCEPTION_SIDE", 75)
    monkeypatch.setattr(networks, "I3D", judges.narrow_i3d)
    return judge_weights
