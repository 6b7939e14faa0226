"""Tiny random weights of the networks that make pictures and clips, and a matte for their noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ds4d import matting
from ds4d.config import MachineConfig
from ds4d.run.engines import Engine
from ds4d.run.events import Event
from tests.fakes import videos


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    videos.make(folder)
    return folder


@pytest.fixture
def machine(weights) -> MachineConfig:
    return MachineConfig(device="cpu", weights=str(weights))


@pytest.fixture
def disc_matte(monkeypatch) -> None:
    """Everything is cut out as a disc: in the noise of random networks there is no object."""

    def run(frames: np.ndarray, strokes: dict):
        rows, columns = np.mgrid[: frames.shape[1], : frames.shape[2]] + 0.5
        away = np.hypot(rows - frames.shape[1] / 2, columns - frames.shape[2] / 2)
        matte = np.where(away < 0.3 * frames.shape[1], 255, 0).astype(np.uint8)
        yield Event("matting", 1, 1)
        return np.repeat(matte[None], len(frames), 0)

    engine = Engine("disc", "a test", run)
    monkeypatch.setattr(matting, "choose", lambda *arguments, **options: engine)
