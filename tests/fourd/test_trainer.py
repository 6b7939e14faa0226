"""The trainer: its sampling, and a few steps of every preset."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.losses import structural
from ds4d.fourd.trainer import Trainer
from ds4d.presets import PRESETS
from tests.fourd.conftest import truth

SHORT = {
    "static_iterations": 2,
    "dynamic_iterations": 4,
    "image_size": 32,
    "plane_size": 8,
    "sds": 0.0,
}


def build(scene, config: FourdConfig) -> Trainer:
    return Trainer(
        scene.views, scene.positions, scene.features, scene.points, scene.colors, config, 0,
        torch.device("cpu"), structural, None,
    )  # fmt: skip


def test_frames_come_equally_often_however_many_a_step_samples(scene, small_config):
    config = dataclasses.replace(
        small_config, static_iterations=3, dynamic_iterations=17, times_per_step=3
    )
    trainer = build(scene, config)
    frames = []
    for step in range(trainer.total):
        trainer.step = step
        frames.append(trainer.sample()["frames"].tolist())
    assert [len(each) for each in frames] == 20 * [3]
    assert set(sum(frames[:3], [])) == {len(scene.positions) // 2}
    assert trainer.pixels == 6 * scene.views.cameras.width**2
    counts = torch.bincount(torch.tensor(sum(frames[3:], [])), minlength=len(scene.positions))
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_on_the_default_kernels(scene, preset):
    """With the preset's own switches and widths, but few Gaussians, small images and planes and no
    SDS, whose networks are not here; the densification comes within the steps."""
    config = dataclasses.replace(
        PRESETS[preset].fourd, **SHORT, densify_from=1, densify_until=6, densify_every=2
    )
    trainer = build(scene, config)
    before = [tensor.clone() for tensor in trainer.model.network.parameters()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as a setting without kernels does
        warnings.filterwarnings("ignore", message=".*squared errors")  # the paper's
        while trainer.step < trainer.total:
            trainer.advance()
    assert trainer.loss.isfinite()
    for tensor in trainer.model.gaussians.tensors().values():
        assert tensor.isfinite().all()
    after = trainer.model.network.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert trainer.asset().splats(0.5).means.isfinite().all()


def test_every_view_of_a_frame_teaches_the_colours_of_its_moment_alone(scene, small_config):
    trainer = build(scene, dataclasses.replace(small_config, **SHORT))
    trainer.step = trainer.config.static_iterations
    trainer.visibility.refresh(trainer.model.gaussians, 0)
    for views in ((0, 3), (2, 5)):
        inputs = {"frames": torch.tensor([0, 4]), "views": torch.tensor([views, views])}
        loss, _ = trainer.objective.loss(trainer.model, inputs, trainer.visibility.lookup, 0)
        (taught,) = torch.autograd.grad(loss, trainer.model.gaussians.sh0_knots)  # [N, 24, 3]
        assert taught.abs().sum((0, 2)).nonzero()[:, 0].tolist() == [0, 23]


def test_constant_colours_are_constant(scene, small_config):
    config = dataclasses.replace(small_config, **SHORT, color_knots=0)
    trainer = build(scene, config)
    while trainer.step < trainer.total:
        trainer.advance()
    asset = trainer.asset()
    assert torch.equal(asset.splats(0.0).colors, asset.splats(1.0).colors)


def test_a_view_of_less_confidence_counts_less(scene, small_config):
    confidence = np.ones(scene.views.images.shape[:2], np.float32)
    confidence[:, 3] = 0.5
    views = dataclasses.replace(scene.views, confidence=confidence)
    config = dataclasses.replace(small_config, exclude=("2:4",))
    trainer = build(dataclasses.replace(scene, views=views), config)
    included = trainer.targets.included
    assert included[0].tolist() == [1, 1, 1, 0.5, 1, 1, 1] and included[1, 4] == 0


def test_training_can_begin_with_given_gaussians(scene, small_config):
    given = truth(0.5)
    trainer = Trainer(
        scene.views, scene.positions, scene.features, scene.points, scene.colors, small_config, 0,
        torch.device("cpu"), structural, None, start=given,
    )  # fmt: skip
    splats = trainer.asset().splats(0.5)
    torch.testing.assert_close(splats.means, given.means)
    torch.testing.assert_close(splats.opacities, given.opacities)
