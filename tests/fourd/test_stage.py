"""The 4D stage: it finds a known motion, and a killed run resumes with the same result."""

import dataclasses

import numba
import numpy as np
import pytest
import torch

from ds4d import guidance
from ds4d.config import MachineConfig
from ds4d.errors import Paused
from ds4d.fourd import checkpoint
from ds4d.fourd import stage as fourd_stage
from ds4d.fourd.asset import Asset
from ds4d.images import over
from ds4d.run import early_stop
from ds4d.run.events import result
from ds4d.run.free_cores import threads
from ds4d.splatting.splats import render
from tests.stages import finished

CPU = torch.device("cpu")


def start(scene, config, folder, key="key", seed=0, pause_after=None):
    return fourd_stage.run(
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
    """Mean row of the opaque pixels in some columns of the front view, as a fraction."""
    _, alpha, _ = render(asset.splats(position), asset.cameras[0])
    mass = alpha[0, :, column, 0].sum(1)
    return float((mass * torch.arange(len(mass))).sum() / mass.sum() / len(mass))


def test_the_moving_blob_moves_and_the_static_one_stands(trained):
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
def test_a_killed_run_resumes_and_ends_the_same(scene, small_config, tmp_path, monkeypatch, warps):
    config = dataclasses.replace(small_config, warps=warps)
    whole, (asset, _) = finished(start(scene, config, tmp_path / "whole"))
    stage = start(scene, config, tmp_path / "killed")
    for event in stage:
        if event.step >= 180:
            break
    with monkeypatch.context() as patch:
        patch.setattr(fourd_stage, "_save", lambda *_: None)  # nothing is saved by what is killed
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


def test_a_run_that_is_stopped_early_has_an_asset_and_can_resume(scene, small_config, tmp_path):
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


def test_a_checkpoint_of_another_version_starts_again_with_a_message(scene, small_config, tmp_path):
    state = {"generator": torch.Generator().get_state(), "gaussians.other": torch.zeros(3)}
    checkpoint.save(tmp_path / "latest.safetensors", state, 100, "key")
    stage = start(scene, small_config, tmp_path)
    event = next(stage)
    assert event.warning and "another version" in event.message
    assert next(stage).step == 1


def test_a_step_gives_back_the_threads_that_it_does_not_need():
    before = torch.get_num_threads()

    class Failing:
        pixels = fourd_stage.PIXELS_PER_THREAD

        def advance(self):
            assert torch.get_num_threads() == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fourd_stage.advance(Failing(), before)
    assert torch.get_num_threads() == before


def test_the_seed_decides(scene, small_config, tmp_path):
    short = dataclasses.replace(small_config, dynamic_iterations=40)
    _, (one, _) = finished(start(scene, short, tmp_path / "1"))
    _, (two, _) = finished(start(scene, short, tmp_path / "2"))
    _, (other, _) = finished(start(scene, short, tmp_path / "3", seed=1))
    assert_same(one, two)
    assert not torch.equal(one.gaussians.means, other.gaussians.means)


class Learned:
    """Guidance whose perceptual loss stands for a network."""

    def perceptual(self, device):
        return lambda a, b: (a - b).square().mean((1, 2, 3))

    def sds(self, *arguments):
        yield from ()


@pytest.mark.parametrize("learned", [True, False])
def test_only_a_step_without_networks_leaves_cores_to_others(
    scene, small_config, tmp_path, monkeypatch, learned
):
    """Sums of a network depend on the number of threads."""
    used = []

    def counted(count, torchs):
        used.append(count)
        return threads(count, torchs)

    monkeypatch.setattr(fourd_stage, "threads", counted)
    monkeypatch.setattr(fourd_stage.FreeCores, "look", lambda self: 1)
    short = dataclasses.replace(small_config, static_iterations=3, dynamic_iterations=3)
    with monkeypatch.context() as changed:
        if learned:
            changed.setattr(guidance, "choose", lambda *arguments: Learned())
        finished(start(scene, short, tmp_path))
    assert set(used) == {numba.get_num_threads() if learned else 1}


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="there is one core")
def test_the_number_of_threads_changes_nothing(scene, small_config, tmp_path):
    short = dataclasses.replace(small_config, dynamic_iterations=60)
    results = []
    for count in (1, 2):
        with threads(count, count):
            results.append(finished(start(scene, short, tmp_path / str(count)))[1][0])
    assert_same(*results)


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


def test_brightness_of_generated_views_does_not_change_the_object_s(scene, small_config, tmp_path):
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
