"""Weights of frames: those that the front view shows worse come more often."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ds4d.fourd.frame_weights import INTERVAL, LARGEST, front_errors, weights
from ds4d.fourd.losses import structural
from ds4d.fourd.trainer import Trainer
from ds4d.splatting.splats import render


def build(scene, config) -> Trainer:
    return Trainer(
        scene.views, scene.positions, scene.features, scene.points, scene.colors, config, 0,
        torch.device("cpu"), structural, None,
    )  # fmt: skip


def test_weights_rise_with_the_error_within_limits():
    found = weights(torch.tensor([0.01, 0.04, 0.01, 0.02]), 0.5)
    assert found.mean() == pytest.approx(1)
    assert found[1] / found[0] == pytest.approx(2) and found[0] == found[2] < found[3] < found[1]
    far = weights(torch.tensor([1e-9, 1.0, 1.0, 1.0, 1.0, 1e4]), 1.0)
    assert far.max() <= 1.1 * LARGEST and far.min() >= 0.9 / LARGEST


def test_errors_are_those_of_the_front_renders(scene, small_config):
    trainer = build(scene, dataclasses.replace(small_config, static_iterations=2))
    while trainer.step < 10:
        trainer.advance()
    found = front_errors(trainer.objective, trainer.model, trainer.visibility.lookup)
    asset = trainer.asset()
    pixels = torch.from_numpy(scene.views.images[:, 0].astype("float32")) / 255
    truth = pixels[..., :3] * pixels[..., 3:] + 1 - pixels[..., 3:]
    for index, position in enumerate(scene.positions.tolist()):
        drawn, _, _ = render(asset.splats(position), scene.views.cameras[0])
        expected = (drawn[0] - truth[index]).square().mean()
        assert float(found[index]) == pytest.approx(float(expected), rel=0.02)


def test_a_frame_that_is_drawn_worse_is_sampled_more_often(scene, small_config):
    images = scene.views.images.copy()
    images[0, ..., :3] = 255 - images[0, ..., :3]  # unlike all others
    odd = dataclasses.replace(scene, views=dataclasses.replace(scene.views, images=images))
    config = dataclasses.replace(small_config, dynamic_iterations=INTERVAL + 20)
    trainer = build(odd, config)
    while trainer.step < trainer.total:
        trainer.advance()
    assert trainer.sampler.weights.argmax() == 0
    equal = build(odd, dataclasses.replace(config, hard_frames=0.0))
    while equal.step < equal.total:
        equal.advance()
    assert equal.sampler.weights is None
