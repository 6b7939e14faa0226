"""Checkpoints of the optimization."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ds4d.fourd import checkpoint
from ds4d.fourd.losses import structural
from ds4d.fourd.trainer import Trainer

# Names that files of earlier versions hold, too: another name ends their resumption.
PARTS = {"generator", "statistics", "gaussians", "network", "averages", "lookup", "optimizer"}


@pytest.fixture
def build(scene, small_config):
    config = replace(small_config, static_iterations=10, dynamic_iterations=300, warps="on")

    def build() -> Trainer:
        return Trainer(
            scene.views, scene.positions, scene.features, scene.points, scene.colors, config, 0,
            torch.device("cpu"), structural, None,
        )  # fmt: skip

    return build


def test_a_restored_trainer_continues_bit_by_bit(build, tmp_path):
    """Saved between two densifications, with moments, a running mean and a lookup."""
    trainer, path = build(), tmp_path / "state.safetensors"
    for _ in range(53):
        trainer.advance()
    checkpoint.save(path, trainer.state_dict(), trainer.step, "key")
    restored = build()
    restored.load_state_dict(*checkpoint.load(path, "key"))
    assert restored.step == 53 and restored.running_mean is not None
    for _ in range(40):
        trainer.advance()
        restored.advance()
    after, again = trainer.state_dict(), restored.state_dict()
    assert after.keys() == again.keys()
    for name, tensor in after.items():
        assert torch.equal(tensor, again[name]), name


def test_the_names_in_a_file_stay(build):
    trainer = build()
    for _ in range(31):
        trainer.advance()
    names = trainer.state_dict().keys()
    assert {name.partition(".")[0] for name in names} == PARTS | {"view_correction"}
    assert {"optimizer.means.0.exp_avg", "optimizer.planes.3.step", "averages.0"} < names


def test_a_file_of_another_key_or_a_broken_one_is_not_loaded(tmp_path):
    path = tmp_path / "state.safetensors"
    assert checkpoint.load(path, "key") is None
    checkpoint.save(path, {"x": torch.ones(2)}, 7, "key")
    assert checkpoint.load(path, "other") is None
    state, step = checkpoint.load(path, "key")
    assert step == 7 and torch.equal(state["x"], torch.ones(2))
    path.write_bytes(path.read_bytes()[:40])
    assert checkpoint.load(path, "key") is None


def test_parts_are_found_by_their_prefix():
    parts = {"a": {"x": torch.zeros(1)}, "ab": {"y": torch.ones(1)}}
    flat = checkpoint.flatten(parts)
    assert flat.keys() == {"a.x", "ab.y"}
    assert checkpoint.part(flat, "a.").keys() == {"x"}
