"""Colours fitted to the front view at the end of an optimization."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ds4d.fourd.asset import Asset
from ds4d.fourd.losses import structural
from ds4d.fourd.trainer import Trainer
from ds4d.splatting.splats import render


def finished(scene, config, from_meshes: bool) -> Asset:
    views = dataclasses.replace(scene.views, from_meshes=from_meshes)
    trainer = Trainer(
        views, scene.positions, scene.features, scene.points, scene.colors, config, 0,
        torch.device("cpu"), structural, None,
    )  # fmt: skip
    while trainer.step < 30:
        trainer.advance()
    return trainer.asset()


def front_errors(scene, asset) -> list[float]:
    pixels = torch.from_numpy(scene.views.images[:, 0].astype("float32")) / 255
    truth = pixels[..., :3] * pixels[..., 3:] + 1 - pixels[..., 3:]
    return [
        float((render(asset.splats(position), scene.views.cameras[0])[0][0] - goal).square().mean())
        for position, goal in zip(scene.positions.tolist(), truth, strict=True)
    ]


@pytest.fixture
def config(small_config):
    return dataclasses.replace(small_config, static_iterations=5, color_knots=4)


def test_each_front_frame_is_nearer_to_the_clip_and_nothing_else_has_moved(scene, config):
    before, after = (finished(scene, config, from_meshes) for from_meshes in (False, True))
    pairs = zip(front_errors(scene, before), front_errors(scene, after), strict=True)
    assert all(fitted < 0.95 * learned for learned, fitted in pairs)
    for name, learned in before.gaussians.tensors().items():
        fitted = after.gaussians.tensors()[name]
        assert torch.equal(learned, fitted) == (name != "sh0_knots")
        assert not fitted.requires_grad


def test_constant_colours_stay_constant(scene, config):
    config = dataclasses.replace(config, color_knots=0)
    before, after = (finished(scene, config, from_meshes) for from_meshes in (False, True))
    assert front_errors(scene, before) == front_errors(scene, after)
