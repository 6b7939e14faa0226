"""rembg on clips, with tiny networks that take dark pixels for the object."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
from rembg.sessions.base import BaseSession

from ds4d.config import MachineConfig
from ds4d.errors import UserError
from ds4d.matting import rembg
from tests.fakes import rembg as tiny
from tests.stages import finished

HEIGHT, WIDTH = 90, 120


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.make(folder)
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Every attempt to reach the network fails the test."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def clip(count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """A dark body with a flag at its upper right goes right over white: frames, true mattes."""
    frames = np.full((count, HEIGHT, WIDTH, 3), 255, np.uint8)
    truth = np.zeros((count, HEIGHT, WIDTH), np.uint8)
    for index in range(count):
        x = 30 + 8 * index
        cv2.ellipse(truth[index], (x, 55), (14, 22), 0, 0, 360, 255, -1)
        cv2.rectangle(truth[index], (x, 15), (x + 20, 25), 255, -1)
        cv2.line(truth[index], (x, 20), (x, 50), 255, 4)
        frames[index][truth[index] > 0] = (20, 30, 60)
    return frames, truth


def run(frames, folder, model="isnet-general-use", cache=None):
    machine = MachineConfig(device="cpu", weights=str(folder))
    return finished(rembg.run(frames, model=model, machine=machine, cache=cache))


def iou(alphas: np.ndarray, truth: np.ndarray) -> np.ndarray:
    a, b = alphas > 127, truth > 127
    return (a & b).sum(axis=(1, 2)) / (a | b).sum(axis=(1, 2))


def sessions() -> list:
    gc.collect()
    return [thing for thing in gc.get_objects() if BaseSession in type(thing).__mro__]


def warnings(events) -> list[str]:
    return [event.message for event in events if event.warning]


@pytest.mark.parametrize("model", tiny.MODELS)
def test_the_mattes_lie_on_the_object(published, model):
    frames, truth = clip(3)
    events, alphas = run(frames, published, model)
    assert alphas.shape == truth.shape and alphas.dtype == np.uint8
    assert iou(alphas, truth).min() > 0.93
    assert alphas[truth == 0].mean() < 8 and alphas[truth > 0].mean() > 240
    assert iou(alphas[:, ::-1], truth).max() < 0.7 and iou(alphas[:, :, ::-1], truth).max() < 0.7
    assert events[-1].step == events[-1].total == 3 and not warnings(events)
    assert events[-1].preview.shape == (HEIGHT, WIDTH, 3)
    assert any(event.message == f"{model} runs on the CPU" for event in events)


def test_a_clip_with_alpha_is_seen_over_white(published):
    frames, truth = clip(2)
    rgba = np.concatenate([np.zeros_like(frames), truth[..., None]], -1)  # black everywhere
    assert iou(run(rgba, published)[1], truth).min() > 0.93


def test_rembgs_own_folders_and_downloads_are_left_alone(published, monkeypatch, tmp_path):
    for name in ("U2NET_HOME", "REMBG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    before = dict(os.environ)
    run(clip(2)[0], published, "u2net")
    assert not (tmp_path / "home").exists() and dict(os.environ) == before


def test_one_session_for_all_frames_and_none_afterwards(published, monkeypatch):
    made = []
    session = rembg._session
    monkeypatch.setattr(rembg, "_session", lambda *a: made.append(a) or session(*a))
    run(clip(4)[0], published, "u2net")
    assert len(made) == 1
    assert sessions() == []


def test_closing_cancels_after_a_frame_and_frees_the_session(published):
    machine = MachineConfig(device="cpu", weights=str(published))
    stage = rembg.run(clip(4)[0], model="u2net", machine=machine)
    while next(stage).step < 1:
        pass
    assert len(sessions()) == 1
    stage.close()
    assert sessions() == []


# --- frames that are not like the others ----------------------------------------------------------


@pytest.mark.parametrize("model", tiny.MODELS)
@pytest.mark.parametrize("noise", [0, 6])
def test_a_frame_without_an_object_is_left_empty_and_named(published, model, noise):
    """rembg itself stretches its mask to the full range, or divides nothing by nothing."""
    frames, _ = clip()
    frames[2] = 255 - np.random.default_rng(0).integers(0, noise + 1, frames[2].shape)
    events, alphas = run(frames, published, model)
    assert not alphas[2].any() and all(alpha.any() for alpha in np.delete(alphas, 2, axis=0))
    assert warnings(events) == [f"{model} sees no object in frame 3."]


def test_what_appears_in_one_frame_alone_is_dropped(published):
    frames, truth = clip(6)
    frames[3, 80:88, 105:118] = 0
    _, alphas = run(frames, published, "u2net")
    assert iou(alphas, truth).min() > 0.9
    assert not alphas[3, 75:, 100:].any()


def test_a_jump_of_the_area_is_named(published):
    frames, _ = clip(9)
    frames[4, 40:70, 0:80] = 0  # something large that touches the object, in frame 5 alone
    events, _ = run(frames, published, "u2net")
    (message,) = warnings(events)
    assert "frame 5:" in message


# --- the cache ------------------------------------------------------------------------------------


def test_frames_that_were_cut_out_before_are_not_asked_again(published, tmp_path, monkeypatch):
    frames, truth = clip(5)
    asked = []
    matte = rembg.Network.matte
    monkeypatch.setattr(rembg.Network, "matte", lambda *a: asked.append(1) or matte(*a))
    machine = MachineConfig(device="cpu", weights=str(published))
    stage = rembg.run(frames[:4], model="u2net", machine=machine, cache=tmp_path / "cut")
    while next(stage).step < 2:
        pass
    stage.close()  # killed on the way
    _, alphas = run(frames[1:], published, "u2net", tmp_path / "cut")  # another range of the clip
    assert len(asked) == 2 + 3
    assert iou(alphas, truth[1:]).min() > 0.9
    np.testing.assert_array_equal(run(frames[1:], published, "u2net")[1], alphas)
    asked.clear()
    monkeypatch.setattr(rembg, "_session", None)  # not even loaded
    np.testing.assert_array_equal(run(frames[1:], published, "u2net", tmp_path / "cut")[1], alphas)
    assert not asked


def test_another_model_or_other_weights_are_asked_again(published, tmp_path, monkeypatch):
    frames, _ = clip(2)
    asked = []
    matte = rembg.Network.matte
    monkeypatch.setattr(rembg.Network, "matte", lambda *a: asked.append(1) or matte(*a))
    run(frames, published, "u2net", tmp_path / "cut")
    run(frames, published, "isnet-general-use", tmp_path / "cut")
    assert len(asked) == 4
    other = tmp_path / "rembg" / "u2net.onnx"
    other.parent.mkdir()
    import onnx

    onnx.save(tiny.network(320, "input.1", 0.1, False), other)
    run(frames, tmp_path, "u2net", tmp_path / "cut")
    assert len(asked) == 6


# --- weights that are not right -------------------------------------------------------------------


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        run(clip(2)[0], folder, "isnet-general-use")
    message = str(caught.value)
    del caught
    assert sessions() == []
    return message


def broken(folder: Path, content: bytes) -> Path:
    file = folder / "rembg" / "isnet-general-use.onnx"
    file.parent.mkdir()
    file.write_bytes(content)
    return folder


def test_a_truncated_or_foreign_file(published, tmp_path):
    whole = (published / "rembg" / "isnet-general-use.onnx").read_bytes()
    assert "isnet-general-use.onnx" in refused(broken(tmp_path, whole[: len(whole) // 2]))


def test_a_file_that_is_no_network(tmp_path):
    assert "isnet-general-use.onnx" in refused(broken(tmp_path, b"<html>not found</html>" * 99))


def test_another_models_file_under_this_name(published, tmp_path):
    other = (published / "rembg" / "u2net.onnx").read_bytes()
    assert "are not rembg's isnet-general-use" in refused(broken(tmp_path, other))


@pytest.mark.parametrize(
    ("available", "message", "warned"),
    [
        (["CPUExecutionProvider"], "has no CUDA", False),
        (["CUDAExecutionProvider", "CPUExecutionProvider"], "could not start CUDA", True),
    ],
)
def test_a_gpu_left_unused_is_reported(published, monkeypatch, available, message, warned):
    import onnxruntime
    import torch

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    file = published / "rembg" / "u2net.onnx"
    network = rembg.Network("u2net", file, torch.device("cuda"))
    assert network.processor == "CPU" and message in network.message
    assert network.fell_back == warned
