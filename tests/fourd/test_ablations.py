"""The rows of the ablation table differ only in what the table says, and each trains."""

import dataclasses

import pytest
import torch
import tyro

from ds4d import guidance
from ds4d.cli import _commands
from ds4d.config import FourdConfig, MachineConfig
from ds4d.fourd import stage as fourd_stage
from ds4d.fourd.ablations import ABLATIONS
from ds4d.fourd.asset import Asset
from ds4d.fourd.gaussians import BALL
from ds4d.fourd.trainer import Trainer
from ds4d.presets import PRESETS
from tests.stages import finished

CPU = torch.device("cpu")
ADDED = {  # by each row to the row before it
    "B": {"points_from": ("random", "mesh")},
    "C": {"perceptual": (0.0, FourdConfig().perceptual)},
    "D": {"features": ("none", "frames")},
    "E": {"features": ("frames", "dsfd")},
    "F": {"fusion": ("front", "average")},
    "G": {"fusion": ("average", "ga")},
    "H": {"fusion": ("ga", "da")},
}


def differences(one: FourdConfig, other: FourdConfig) -> dict:
    one, other = dataclasses.asdict(one), dataclasses.asdict(other)
    return {name: (one[name], other[name]) for name in one if one[name] != other[name]}


@pytest.mark.parametrize("row", ADDED)
def test_each_row_adds_one_thing_to_the_row_before_it(row):
    before = ABLATIONS[chr(ord(row) - 1)](FourdConfig())
    assert differences(before, ABLATIONS[row](FourdConfig())) == ADDED[row]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_last_row_is_the_method(preset):
    assert ABLATIONS["H"](PRESETS[preset].fourd) == PRESETS[preset].fourd


@pytest.fixture(scope="module")
def assets(scene, small_config, tmp_path_factory) -> dict[str, tuple[Asset, list]]:
    """Every row after some steps, and its events."""
    short = dataclasses.replace(small_config, static_iterations=40, dynamic_iterations=160)
    made = {}
    for name, row in ABLATIONS.items():
        config = row(short)
        stage = fourd_stage.run(
            scene.views, scene.positions, scene.features, scene.points, scene.colors, config, 0,
            tmp_path_factory.mktemp(name), "key", CPU,
            guidance.choose(config, MachineConfig(device="cpu")),
        )  # fmt: skip
        events, (asset, _) = finished(stage)
        made[name] = asset, events
    return made


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_row_trains_and_is_read_again(name, assets, tmp_path):
    asset, events = assets[name]
    assert events[-1].metrics["psnr"] > 20
    asset.save(tmp_path / "fourd.safetensors")
    read = Asset.load(tmp_path / "fourd.safetensors")
    moment, again = asset.splats(0.3), read.splats(0.3)
    torch.testing.assert_close(moment.means, again.means)
    assert (asset.splats(0.0).means - moment.means).abs().max() > 0


@pytest.mark.parametrize("name", ["plain", "A", "B", "C"])
def test_rows_without_features_have_no_trace_of_them(name, assets):
    asset = assets[name][0]
    assert asset.maps.numel() == 0
    names = [key for key, _ in asset.network.named_parameters()]
    assert not [key for key in names if "tssf" in key or "views" in key]


def test_random_starts_fill_a_ball(scene, small_config):
    config = dataclasses.replace(ABLATIONS["A"](small_config), static_iterations=0)
    trainer = Trainer(
        scene.views, scene.positions, scene.features, scene.points.repeat(30, 1),
        scene.colors.repeat(30, 1), config, 0, CPU, lambda a, b: None, None,
    )  # fmt: skip
    radii = trainer.model.gaussians.means.detach().norm(dim=-1)
    assert radii.max() <= BALL
    assert (radii < BALL / 2).float().mean() == pytest.approx(1 / 8, abs=0.02)  # by volume
    assert trainer.model.gaussians.colors().detach().std() < 1e-6


def test_a_row_is_asked_for_by_name_and_single_settings_go_before_it():
    arguments = ["generate", "clip.mp4", "--out", "run", "--preset", "paper", "--ablation=D"]
    arguments += ["--fourd.fusion", "average"]
    command = tyro.cli(_commands(arguments), args=arguments)
    expected = ABLATIONS["D"](PRESETS["paper"].fourd)
    assert command.config.fourd == dataclasses.replace(expected, fusion="average")
    assert (command.config.preset, command.config.ablation) == ("paper", "D")
