"""The engine with tiny networks in the published layouts, its choice, weights that are wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import DepthAnythingForDepthEstimation

from ds4d import pipeline
from ds4d.cameras import orbit_cameras
from ds4d.cli import main
from ds4d.config import ClipConfig, Config, MachineConfig, MultiviewConfig
from ds4d.errors import UserError
from ds4d.multiview import choose
from ds4d.multiview.relief import engine, networks
from ds4d.run.workspace import Workspace
from tests.fakes import depth as tiny
from tests.fakes import rembg
from tests.stages import finished

SIZE = 64
NAMES = ("moge-2-vits", "depth-anything-v2-small")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.make(folder)
    return folder


@pytest.fixture(scope="module")
def machine(weights) -> MachineConfig:
    return MachineConfig(device="cpu", weights=str(weights))


def clip(count: int = 2, size: int = SIZE) -> np.ndarray:
    """A box whose right half is dark, and so farther away for the tiny MoGe-2."""
    frames = np.zeros((count, size, size, 4), np.uint8)
    frames[:, 16:48, 10:54] = (230, 230, 230, 255)
    frames[:, 16:48, 32:54, :3] = 20
    return frames


def test_moges_depth_is_in_widths_of_the_frame(machine):
    network = networks.load("moge-2-vits", machine)
    frame = engine.resized(clip(1)[0], networks.SIZE)
    depth, normals = networks.on_grid(network.read(frame), clip(1)[0])
    near, far = depth[30, 20], depth[30, 45]
    assert far - near == pytest.approx((230 - 20) / 255 / tiny.WIDTH, rel=1e-3)
    np.testing.assert_allclose(normals[30, 20], [0, 0, -1], atol=1e-5)
    assert depth[0, 20] == pytest.approx(near, abs=0.02)  # outside: that of the nearest pixel


def test_depth_anythings_is_that_of_transformers_own_forward(machine, weights):
    network = networks.load("depth-anything-v2-small", machine)
    frame = engine.resized(clip(1)[0], networks.SIZE)
    reading = network.read(frame)
    published = DepthAnythingForDepthEstimation.from_pretrained(weights / tiny.DEPTH_ANYTHING)
    rgb = frame[..., :3] * (frame[..., 3:] / 255) + 255 - frame[..., 3:]
    values = (np.rint(rgb) / 255 - networks.MEAN) / networks.STD
    with torch.no_grad():
        expected = published(torch.from_numpy(values).float().movedim(-1, 0)[None])
    np.testing.assert_allclose(reading.depth, -expected.predicted_depth[0], atol=1e-4)
    assert reading.depth.std() > 0 and reading.normals is None and not network.scaled


@pytest.mark.parametrize("name", NAMES)
def test_run_returns_the_front_and_six_views(machine, name):
    stage = engine.run(clip(), orbit_cameras([0.0], size=SIZE), 48, network=name, machine=machine)
    events, views = finished(stage)
    assert views.images.shape == (2, 7, 48, 48, 4)
    assert (views.images[:, 1:, ..., 3] > 127).any((2, 3)).all() and len(views.mesh.faces)
    steps = [(event.step, event.total) for event in events]
    assert steps == sorted(steps) and steps[-1] == (4, 4)
    assert events[1].preview.shape == (SIZE, 2 * SIZE, 3)


def test_what_is_dark_to_the_tiny_moge_is_farther_away(machine):
    front = orbit_cameras([0.0], size=SIZE)
    run = engine.run(clip(), front, SIZE, network=NAMES[0], machine=machine)
    events, _ = finished(run)
    assert any("right side is assumed to be farther away" in event.message for event in events)


def test_an_empty_clip_gives_transparent_views(machine):
    frames, front = 0 * clip(), orbit_cameras([0.0], size=SIZE)
    _, views = finished(engine.run(frames, front, SIZE, network=NAMES[0], machine=machine))
    assert not views.images[..., 3].any()


def test_closing_the_stage_stops_it(machine):
    front = orbit_cameras([0.0], size=SIZE)
    stage = engine.run(clip(), front, SIZE, network=NAMES[0], machine=machine)
    next(stage)
    next(stage)
    stage.close()
    with pytest.raises(StopIteration):
        next(stage)


# --- the choice -----------------------------------------------------------------------------------


def chosen(machine: MachineConfig, **settings):
    config = MultiviewConfig(**settings)
    return choose(config, machine, Path("clip.mp4"), None, 0, lambda frames: None)


def test_auto_takes_it_on_a_cpu_and_says_how_long_it_takes(machine, monkeypatch, tmp_path):
    taken = chosen(machine)
    assert taken.name == "relief" and taken.weights == ("moge-2-vits",)
    assert "moge-2-vits" in taken.why and "s a frame" in taken.why
    assert chosen(machine, depth_network=NAMES[1]).weights == (NAMES[1],)
    assert chosen(machine, engine="inflate").name == "inflate"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    without = chosen(replace(machine, weights=""))
    assert without.name == "inflate" and "moge-2-vits" in without.why
    assert "HF_HUB_OFFLINE" in without.why


def test_the_second_network_where_the_first_is_missing(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "none"))
    (tmp_path / tiny.DEPTH_ANYTHING).parent.mkdir()
    (tmp_path / tiny.DEPTH_ANYTHING).symlink_to(weights / tiny.DEPTH_ANYTHING)
    taken = chosen(MachineConfig(device="cpu", weights=str(tmp_path)))
    assert taken.name == "relief" and taken.weights == (NAMES[1],)


def test_the_pipeline_makes_the_views_with_it(weights, tmp_path):
    for index, frame in enumerate(clip(2)):
        (tmp_path / "clip").mkdir(exist_ok=True)
        iio.imwrite(tmp_path / f"clip/{index}.png", np.roll(frame, index, 1))
    config = Config(
        clip=ClipConfig(frames=2, size=SIZE),
        machine=MachineConfig(device="cpu", weights=str(weights)),
    )
    run = Workspace(tmp_path / "run")
    for _ in pipeline.generate(tmp_path / "clip", run, config, until="multiview"):
        pass
    record = json.loads((run.root / "run.json").read_text())["stages"]["multiview"]
    assert record["engine"] == "relief" and record["weights"] == ["moge-2-vits"]
    assert len(list((run.root / "multiview").glob("0000/*.png"))) == 6


# --- weights that are not right -------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path) -> Path:
    tiny.make(tmp_path)
    return tmp_path


def refused(name: str, folder: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        networks.load(name, MachineConfig(device="cpu", weights=str(folder)))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x08\x07 half of a file"])
def test_a_damaged_onnx_file(copied, content):
    file = copied / tiny.MOGE / "model.onnx"
    file.write_bytes(content)
    assert str(file) in refused("moge-2-vits", copied).sentence


def test_another_network_in_moges_place(copied):
    rembg.make(copied)
    other = (copied / "rembg/u2net.onnx").read_bytes()
    (copied / tiny.MOGE / "model.onnx").write_bytes(other)
    assert "are not MoGe-2 with normals" in refused("moge-2-vits", copied).sentence


def test_other_weights_in_depth_anythings_place(copied):
    folder = copied / tiny.DEPTH_ANYTHING
    state = load_file(folder / "model.safetensors")
    weight = state.pop("head.conv3.weight")
    save_file(state | {"head.conv9.weight": weight}, folder / "model.safetensors")
    sentence = refused("depth-anything-v2-small", copied).sentence
    assert "missing keys: head.conv3.weight" in sentence and "head.conv9.weight" in sentence
    (folder / "config.json").write_text(json.dumps({"model_type": "dinov2", "patch_size": 14}))
    assert "describes dinov2" in refused("depth-anything-v2-small", copied).sentence


def test_weights_that_give_nan(copied):
    folder = copied / tiny.DEPTH_ANYTHING
    state = load_file(folder / "model.safetensors")
    state["head.conv3.bias"] += float("nan")
    save_file(state, folder / "model.safetensors")
    network = networks.load(
        "depth-anything-v2-small", MachineConfig(device="cpu", weights=str(copied))
    )
    with pytest.raises(UserError, match="not finite"):
        network.read(engine.resized(clip(1)[0], networks.SIZE))


def test_asked_for_without_weights_the_command_fails_in_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "none"))
    for index, frame in enumerate(clip(2)):
        (tmp_path / "clip").mkdir(exist_ok=True)
        iio.imwrite(tmp_path / f"clip/{index}.png", frame)
    command = ["generate", str(tmp_path / "clip"), "--out", str(tmp_path / "run")]
    command += ["--multiview.engine", "relief", "--device", "cpu", "--clip.size", "64"]
    assert main(command) == 1
    printed = capsys.readouterr().err
    assert "moge-2-vits are not to be had" in printed and "Traceback" not in printed
