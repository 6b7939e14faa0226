"""4D assets on the disk."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ds4d.errors import UserError
from ds4d.fourd.asset import Asset
from ds4d.fourd.losses import structural
from ds4d.fourd.trainer import Trainer


@pytest.fixture(scope="module")
def asset(scene, small_config) -> Asset:
    config = replace(small_config, static_iterations=5, dynamic_iterations=10)
    trainer = Trainer(
        scene.views, scene.positions, scene.features, scene.points, scene.colors, config, 0,
        torch.device("cpu"), structural, None,
    )  # fmt: skip
    while trainer.step < trainer.total:
        trainer.advance()
    return trainer.asset()


def test_a_saved_asset_is_read_again(asset, tmp_path):
    asset.save(tmp_path / "fourd.safetensors")
    read = Asset.load(tmp_path / "fourd.safetensors")
    for position in (0.0, 0.4, 1.0):
        before, after = asset.splats(position), read.splats(position)
        for name in ("means", "quats", "scales", "opacities", "colors"):
            torch.testing.assert_close(
                getattr(before, name), getattr(after, name), atol=2e-4, rtol=0
            )
    assert len(read.cameras) == 7


def test_a_file_that_is_no_asset_is_an_error_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no 4D asset"):
        Asset.load(tmp_path / "fourd.safetensors")
    (tmp_path / "fourd.safetensors").write_bytes(b"nonsense, but long enough to be looked at")
    with pytest.raises(UserError, match="cannot be read"):
        Asset.load(tmp_path / "fourd.safetensors")
