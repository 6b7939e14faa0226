"""The optimization finds a known motion, and a killed one ends as if nothing had happened."""

import dataclasses

import numpy as np
import pytest
import torch

from ds4d import guidance
from ds4d.config import MachineConfig
from ds4d.errors import Paused, UserError
from ds4d.fourd import stage as train
from ds4d.fourd.asset import Asset
from ds4d.fourd.gaussians import Offsets
from ds4d.fourd.losses import structural
from ds4d.fourd.trainer import Training
from ds4d.images import over
from ds4d.run import early_stop
from ds4d.run.events import result
from ds4d.splatting.splats import render
from tests.stages import finished

CPU = torch.device("cpu")


def start(scene, config, folder, key="key", seed=0, pause_after=None):
    return train.run(
        scene.views, scene.positions, scene.features, scene.points, scene.colors, config, seed,
        folder, key, CPU, guidance.choose(config, MachineConfig(device="cpu")), pause_after,
    )  # fmt: skip


def assert_same(a: Asset, b: Asset) -> None:
    for name, tensor in a.gaussians.tensors().items():
        assert torch.equal(tensor, getattr(b.gaussians, name)), name
    for name, tensor in a.network.state_dict().items():
        assert torch.equal(tensor, b.network.state_dict()[name]), name


@pytest.fixture(scope="module")
def trained(scene, small_config, tmp_path_factory):
    config = dataclasses.replace(small_config, static_iterations=100, dynamic_iterations=600)
    return finished(start(scene, config, tmp_path_factory.mktemp("checkpoints")))


def height(asset: Asset, position: float, column: slice) -> float:
    """Mean image row of what is drawn in some columns of the front view, as a fraction."""
    _, alpha, _ = render(asset.splats(position), asset.cameras[0])
    mass = alpha[0, :, column, 0].sum(1)
    return float((mass * torch.arange(len(mass))).sum() / mass.sum() / len(mass))


def test_what_moved_moves_and_what_stood_still_stands(trained):
    _, (asset, _) = trained
    left, right = slice(0, 16), slice(16, 32)
    assert height(asset, 0.0, right) - height(asset, 1.0, right) == pytest.approx(0.3, abs=0.06)
    assert height(asset, 0.0, left) - height(asset, 1.0, left) == pytest.approx(0, abs=0.02)


def test_the_render_comes_close_to_the_frames(trained):
    events, _ = trained
    psnr = [event.metrics["psnr"] for event in events if "psnr" in event.metrics]
    assert psnr[-1] > 26
    assert psnr[-1] > psnr[0]


def test_events_count_to_the_end_and_bring_pictures(trained, scene):
    events, _ = trained
    assert events[-1].step == events[-1].total == 700
    assert [event.step for event in events] == sorted(event.step for event in events)
    preview = events[-1].preview
    assert preview.shape == (32, 96, 3) and preview.std() > 5


@pytest.mark.parametrize("warps", ["off", "on"])
def test_a_killed_run_goes_on_and_ends_the_same(scene, small_config, tmp_path, monkeypatch, warps):
    config = dataclasses.replace(small_config, warps=warps)
    whole, (asset, _) = finished(start(scene, config, tmp_path / "whole"))
    stage = start(scene, config, tmp_path / "killed")
    for event in stage:
        if event.step >= 180:
            break
    with monkeypatch.context() as patch:
        patch.setattr(train, "_save", lambda *_: None)  # nothing is saved by what is killed
        stage.close()
    events, (resumed, facts) = finished(start(scene, config, tmp_path / "killed"))
    assert facts["resumed_from_step"] == 160
    assert "resumed at step 160" in events[0].message
    assert_same(asset, resumed)


def test_a_run_in_slices_ends_the_same(scene, small_config, tmp_path):
    short = dataclasses.replace(small_config, dynamic_iterations=40)
    _, (asset, _) = finished(start(scene, short, tmp_path / "whole"))
    slices = 0
    while True:
        try:
            _, (sliced, _) = finished(start(scene, short, tmp_path / "sliced", pause_after=0.05))
            break
        except Paused:
            slices += 1
    assert slices > 1
    assert_same(asset, sliced)


def test_good_enough_is_an_asset_at_once_and_can_go_on(scene, small_config, tmp_path):
    _, (asset, _) = finished(start(scene, small_config, tmp_path / "whole"))
    folder = tmp_path / "stopped" / "checkpoints"
    stage = start(scene, small_config, folder)

    def stop_at_step_17(event):
        if event.step == small_config.static_iterations + 17:
            folder.parent.mkdir(exist_ok=True)
            early_stop.request(folder.parent)

    early, facts = result(stage, stop_at_step_17)
    step = facts["stopped_at_step"]
    assert step == small_config.static_iterations + 17
    assert facts["of_steps"] == small_config.static_iterations + small_config.dynamic_iterations
    assert height(early, 0.0, slice(0, 32)) > 0
    early_stop.withdraw(folder.parent)
    _, (resumed, facts) = finished(start(scene, small_config, folder))
    assert facts["resumed_from_step"] == step and "stopped_at_step" not in facts
    assert_same(asset, resumed)


def test_a_state_of_other_inputs_is_not_resumed(scene, small_config, tmp_path):
    stage = start(scene, small_config, tmp_path)
    while next(stage).step < 100:
        pass
    stage.close()
    event = next(start(scene, small_config, tmp_path, key="other"))
    assert event.step == 1


def test_a_broken_state_is_not_resumed(scene, small_config, tmp_path):
    (tmp_path / "latest.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    assert next(start(scene, small_config, tmp_path)).step == 1


def test_the_seed_decides(scene, small_config, tmp_path):
    short = dataclasses.replace(small_config, dynamic_iterations=40)
    _, (one, _) = finished(start(scene, short, tmp_path / "1"))
    _, (two, _) = finished(start(scene, short, tmp_path / "2"))
    _, (other, _) = finished(start(scene, short, tmp_path / "3", seed=1))
    assert_same(one, two)
    assert not torch.equal(one.gaussians.means, other.gaussians.means)


@pytest.mark.parametrize(
    "changes",
    [
        {"fusion": "average"}, {"fusion": "ga"}, {"visibility": "none"}, {"projection": "map"},
        {"robust": False, "front_always": True, "times_per_step": 3, "zero_heads": False},
        {"smooth_time": 1.0, "smooth_space": 1.0, "sparse_time": 1.0, "time_map": "half"},
    ],
)  # fmt: skip
def test_every_choice_trains(scene, small_config, tmp_path, changes):
    short = dataclasses.replace(small_config, dynamic_iterations=60, **changes)
    events, (asset, _) = finished(start(scene, short, tmp_path))
    assert all(torch.isfinite(t).all() for t in asset.gaussians.tensors().values())
    assert asset.splats(0.5).means.isfinite().all()


def test_a_view_that_is_left_out_counts_for_nothing(scene, small_config, tmp_path):
    """Frame 3, the middle one that the static steps fit, view 2: another picture, same result."""
    short = dataclasses.replace(
        small_config, dynamic_iterations=20, densify_until=0, exclude=("3:2",)
    )
    images = scene.views.images.copy()
    images[2, 2] = 255 - images[2, 2]
    spoiled = dataclasses.replace(scene, views=dataclasses.replace(scene.views, images=images))
    _, (asset, _) = finished(start(scene, short, tmp_path / "a"))
    _, (same, _) = finished(start(spoiled, short, tmp_path / "b"))
    assert_same(asset, same)
    counted = dataclasses.replace(short, exclude=())
    _, (other, _) = finished(start(spoiled, counted, tmp_path / "c"))
    assert not torch.equal(asset.gaussians.sh0, other.gaussians.sh0)


def test_tints_of_imagined_views_do_not_colour_the_object(scene, small_config, tmp_path):
    """Each pseudo view of each frame is lighter or darker: the object keeps the front's colours."""
    generator = np.random.default_rng(0)
    images = scene.views.images.copy()
    lights = generator.uniform(0.5, 1.1, (len(images), 6, 1, 1, 3))
    images[:, 1:, ..., :3] = (images[:, 1:, ..., :3] * lights).clip(0, 255).astype(np.uint8)
    spoiled = dataclasses.replace(scene, views=dataclasses.replace(scene.views, images=images))

    def error(warps: str) -> float:
        config = dataclasses.replace(small_config, warps=warps, tint_lr=5e-3)
        _, (asset, _) = finished(start(spoiled, config, tmp_path / warps))
        errors = []
        for index, position in enumerate(scene.positions.tolist()):
            rgb, _, _ = render(asset.splats(position), asset.cameras)
            pictures = torch.from_numpy(over(scene.views.images[index])).float() / 255
            errors.append((rgb - pictures).square().mean())
        return float(torch.stack(errors).mean())

    assert error("on") < 0.7 * error("off")


def test_the_asset_on_the_disk_is_the_asset(trained, tmp_path):
    _, (asset, _) = trained
    asset.save(tmp_path / "fourd.safetensors")
    read = Asset.load(tmp_path / "fourd.safetensors")
    for position in (0.0, 0.4, 1.0):
        before, after = asset.splats(position), read.splats(position)
        for name in ("means", "quats", "scales", "opacities", "colors"):
            torch.testing.assert_close(
                getattr(before, name), getattr(after, name), atol=2e-4, rtol=0
            )
    assert len(read.cameras) == 7


def test_what_is_no_asset_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no 4D asset"):
        Asset.load(tmp_path / "fourd.safetensors")
    (tmp_path / "fourd.safetensors").write_bytes(b"nonsense, but long enough to be looked at")
    with pytest.raises(UserError, match="cannot be read"):
        Asset.load(tmp_path / "fourd.safetensors")


def test_between_two_frames_near_gaussians_glide_and_far_ones_jump():
    still = torch.zeros(1, 2, 3)
    moved = torch.tensor([[[0.02, 0, 0], [0.5, 0, 0]]])
    quats, later = torch.zeros(1, 2, 4), torch.ones(1, 2, 4)
    before, after = Offsets(still, still, quats), Offsets(moved, moved, later)
    for share, glided, jumped in ((0.25, 0.005, 0.0), (0.75, 0.015, 0.5)):
        means = before.mixed(after, share).means[0, :, 0]
        assert means.tolist() == pytest.approx([glided, jumped])
    torch.testing.assert_close(before.mixed(after, 1.0).quats, later)


def test_pictures_are_never_larger_than_the_views(scene, small_config):
    config = dataclasses.replace(small_config, image_size=999)
    training = Training(
        scene.views, scene.positions, scene.features, scene.points, scene.colors, config, 0, CPU,
        structural, None,
    )  # fmt: skip
    assert training.targets.cameras.width == scene.views.cameras.width


def test_frames_come_equally_often_however_many_a_step_draws(scene, small_config):
    config = dataclasses.replace(
        small_config, static_iterations=3, dynamic_iterations=17, times_per_step=3
    )
    training = Training(
        scene.views, scene.positions, scene.features, scene.points, scene.colors, config, 0, CPU,
        structural, None,
    )  # fmt: skip
    drawn = []
    for step in range(training.total):
        training.step = step
        drawn.append(training._draw()["times"].tolist())
    assert [len(times) for times in drawn] == 20 * [3]
    assert training.pixels == 6 * scene.views.cameras.width**2
    counts = torch.bincount(torch.tensor(sum(drawn[3:], [])), minlength=len(scene.positions))
    assert counts.max() - counts.min() <= 1
