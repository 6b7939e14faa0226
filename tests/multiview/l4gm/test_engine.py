"""The engine: known Gaussians in place of the network's, and the tiny network of the fakes."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ds4d import multiview
from ds4d.cameras import orbit_cameras, rig_cameras
from ds4d.clip import Clip
from ds4d.config import MachineConfig, MultiviewConfig
from ds4d.errors import UserError
from ds4d.images import over, save_images
from ds4d.multiview.l4gm import engine, reconstruct
from ds4d.multiview.l4gm.frames import HALF_WIDTH, SIZE, l4gm_cameras
from ds4d.multiview.l4gm.network import L4GM
from ds4d.multiview.l4gm.render import render_rgba
from ds4d.multiview.l4gm.sides import Sides
from ds4d.multiview.views import load_views
from ds4d.run.events import Event
from ds4d.splatting.splats import Splats, load_splats
from tests.fakes import l4gm as tiny
from tests.stages import finished

FRAMES, SIDE = 3, 64


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.make(folder)
    return folder


@pytest.fixture(scope="module")
def machine(weights) -> MachineConfig:
    return MachineConfig(device="cpu", weights=str(weights))


def thing(moment: float) -> Splats:
    """A green body, a red head on its right that rises, a blue tail behind it."""
    means = torch.tensor([[-0.1, 0, 0], [0.2, -0.05, 0.15 * moment], [-0.15, 0.3, 0.0]])
    quats = torch.nn.functional.normalize(torch.tensor([[1.0, 0.2, 0, 0]] * 3), dim=-1)
    scales = torch.tensor([[0.08, 0.05, 0.1], [0.05, 0.05, 0.05], [0.03, 0.06, 0.03]])
    colors = torch.tensor([[0.2, 0.7, 0.2], [0.9, 0.2, 0.1], [0.1, 0.2, 0.8]])
    return Splats(means, quats, scales, torch.full((3,), 0.99), colors)


def with_halo(splats: Splats) -> Splats:
    """Near-white Gaussians beside the object, and one too faint to be seen."""
    places = torch.tensor([[0.5, 0.0, 0.4], [-0.5, 0.1, -0.4], [-0.1, 0.0, 0.0]])
    opacities = torch.tensor([0.8, 0.8, 0.004])
    return Splats(
        torch.cat([splats.means, places]), torch.cat([splats.quats, splats.quats]),
        torch.cat([splats.scales, splats.scales / 4]), torch.cat([splats.opacities, opacities]),
        torch.cat([splats.colors, torch.full((3, 3), 0.97)]),
    )  # fmt: skip


def fronts(width: float = 0.5) -> np.ndarray:
    """The front camera's pictures of the thing, [T, SIDE, SIDE, 4]."""
    camera = engine.front_camera(width, SIDE)
    return np.stack([render_rgba(thing(t), camera)[0] for t in range(FRAMES)])


def no_sides(frames, front):
    yield Event("multiview", 1, 1, "drawn")
    return Sides(np.full((3, SIZE, SIZE, 3), 255, np.uint8), (90.0, 180.0, 270.0))


def run(machine, frames, config=None, sampled=FRAMES, front=None):
    front = orbit_cameras([0.0], size=SIDE) if front is None else front
    return engine.run(
        frames, SIDE, config=config or MultiviewConfig(engine="l4gm"), machine=machine,
        front=front, draw_sides=no_sides, sampled=sampled,
    )  # fmt: skip


@pytest.fixture
def known(monkeypatch):
    """A network that returns the known object's Gaussians, with a halo."""
    monkeypatch.setattr(engine, "load", lambda file, device, dtype: None)
    monkeypatch.setattr(
        reconstruct, "forward",
        lambda network, images, azimuths: [with_halo(thing(t)) for t in range(images.shape[1])],
    )  # fmt: skip


def test_views_are_the_object_s_renders_without_its_halo(known, machine):
    events, views = finished(run(machine, fronts()))
    rig = rig_cameras(SIDE)[range(1, 7)]
    for t in range(FRAMES):
        assert np.array_equal(views.images[t, 0], fronts()[t])
        assert np.array_equal(views.images[t, 1:], render_rgba(thing(t), rig))
    assert torch.equal(views.cameras.viewmats[1:], rig.viewmats)
    assert len(views.splats) == 3  # of the middle frame
    assert torch.allclose(views.splats.means, thing(1).means)
    last = events[-1]
    assert last.step == last.total and last.metrics["front_psnr"] > 25
    assert last.metrics["front_iou"] > 0.9 and not last.warning
    assert [e.step for e in events] == sorted(e.step for e in events)


def test_the_front_camera_sees_what_the_frame_shows(known, machine):
    """The front view and the others are views of one object from where the cameras stand."""
    _, views = finished(run(machine, fronts()))
    front = render_rgba(thing(2), views.cameras[0])[0]
    assert np.abs(over(front).astype(int) - over(views.images[2, 0])).max() <= 1


def test_a_front_camera_of_a_case_sets_the_size(known, machine):
    wide = orbit_cameras([0.0], size=SIDE, radius=2.4 / 2, fov_deg=2 * np.degrees(np.arctan(0.5)))
    events, views = finished(run(machine, fronts(0.6), front=wide))
    assert events[-1].metrics["front_iou"] > 0.9
    assert (
        np.abs(render_rgba(thing(0), views.cameras[0])[0].astype(int) - fronts(0.6)[0]).max() <= 1
    )


def test_a_reconstruction_of_another_object_is_reported(known, machine):
    events, _ = finished(run(machine, fronts()[:, :, ::-1]))
    assert events[-1].warning and "poor" in events[-1].message


def test_confidence_is_lower_where_the_front_saw_nothing(known, machine):
    _, views = finished(run(machine, fronts()))
    assert (views.confidence[:, 0] == 1).all()
    assert (views.confidence >= 0.5).all() and (views.confidence <= 1).all()
    at_30, _, at_150, at_210, _, at_330 = views.confidence[:, 1:].mean(0)
    assert max(at_150, at_210) < min(at_30, at_330)


def test_the_files_of_a_run_keep_confidence_and_gaussians(known, machine, tmp_path):
    _, views = finished(run(machine, fronts()))
    views.save(tmp_path / "multiview")
    save_images(tmp_path / "frames", views.images[:, 0])
    read = load_views(tmp_path)
    assert np.array_equal(read.confidence, views.confidence)
    splats = load_splats(tmp_path / "multiview/gaussians.npz")
    assert all(torch.equal(splats.tensors()[k], v) for k, v in views.splats.tensors().items())


def test_frames_in_between_need_two_between_each_two(known, machine):
    config = MultiviewConfig(engine="l4gm", between=True)
    with pytest.raises(UserError, match="two frames between"):
        finished(run(machine, fronts(), config))
    frames = np.repeat(fronts(), 3, 0)[:7]
    events, views = finished(run(machine, frames, config, sampled=3))
    assert len(views.images) == 7 and events[-1].step == events[-1].total
    assert any("between frames 1 and 2" in event.message for event in events)


def test_a_tiny_network_runs_and_leaves_nothing_in_memory(machine):
    frames = fronts()[:2]
    events, views = finished(run(machine, frames))
    assert views.images.shape == (2, 7, SIDE, SIDE, 4) and views.images[:, 1:, ..., 3].any()
    gc.collect()
    assert not any(isinstance(thing, L4GM) for thing in gc.get_objects())


def test_closing_the_stage_frees_the_network(machine, monkeypatch):
    monkeypatch.setattr(reconstruct, "forward", lambda network, images, azimuths: [thing(0)] * 3)
    stage = run(machine, fronts())
    while "Gaussians" not in next(stage).message:
        pass
    stage.close()
    gc.collect()
    assert not any(isinstance(thing, L4GM) for thing in gc.get_objects())


def chosen(config, machine, source, maker=None):
    clip = Clip(np.zeros((2, 8, 8, 3), np.uint8), np.array([0.0, 1.0]), np.array([0, 1]), 2, None,
                False)  # fmt: skip
    return multiview.choose(config, machine, source, clip, 0, maker)


def test_it_runs_only_when_it_is_asked_for(machine, tmp_path):
    assert chosen(MultiviewConfig(), machine, tmp_path / "a.mp4").name == "inflate"
    found = chosen(MultiviewConfig(engine="l4gm"), machine, tmp_path / "a.mp4")
    assert found.name == "l4gm" and found.weights == ("l4gm-recon",)
    assert "inflate" in found.why
    with pytest.raises(UserError, match="no three level views"):
        chosen(MultiviewConfig(engine="l4gm", sides="given"), machine, tmp_path / "a.mp4")


def test_a_mesh_of_the_first_frame_comes_before_the_embedded_shape(machine, weights, tmp_path):
    maker = multiview.MeshMaker(None, ("l4gm-interp",), ("grid of 8",))  # weights that are there
    found = chosen(MultiviewConfig(engine="l4gm"), machine, tmp_path / "a.mp4", maker)
    assert found.weights == ("l4gm-recon", "l4gm-interp") and "instantmesh" in found.why
    missing = multiview.MeshMaker(None, ("instantmesh-base",), ())
    found = chosen(MultiviewConfig(engine="l4gm"), machine, tmp_path / "a.mp4", missing)
    assert found.weights == ("l4gm-recon",) and "instantmesh-base" in found.why


def test_smaller_windows_are_another_result(machine, tmp_path):
    config = MultiviewConfig(engine="l4gm")
    small = chosen(config, replace(machine, low_memory=True), tmp_path / "a.mp4")
    assert small.key != chosen(config, machine, tmp_path / "a.mp4").key


def test_l4gm_s_camera_is_the_front_camera_of_its_own_framing():
    ours, theirs = engine.front_camera(HALF_WIDTH, SIZE), l4gm_cameras([0.0], SIZE)
    assert torch.allclose(ours.Ks, theirs.Ks) and torch.allclose(ours.viewmats, theirs.viewmats)
