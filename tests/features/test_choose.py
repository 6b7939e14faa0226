"""Choice of the feature engine, and the file of features."""

from __future__ import annotations

import numpy as np
import torch

from ds4d import features
from ds4d.config import FeaturesConfig, MachineConfig
from ds4d.features.io import load_features, save_features
from tests.stages import finished


def test_auto_takes_descriptors_without_networks():
    engine = features.choose(FeaturesConfig(grid=5), MachineConfig(device="cpu"))
    assert engine.name == "descriptors" and engine.why
    images = np.zeros((1, 1, 64, 64, 4), np.uint8)
    assert finished(engine.run(images))[1].shape[:4] == (1, 1, 5, 5)


def test_features_are_saved_and_loaded(tmp_path):
    saved = torch.rand(2, 3, 4, 4, 8)
    save_features(tmp_path / "features.safetensors", saved)
    loaded = load_features(tmp_path / "features.safetensors")
    assert loaded.dtype == torch.float32 and torch.allclose(loaded, saved, atol=1e-3)
