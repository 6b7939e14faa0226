"""Windows, side views and the frames in between."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from ds4d.multiview.l4gm import reconstruct as module
from ds4d.multiview.l4gm.network import L4GM
from ds4d.multiview.l4gm.reconstruct import AZIMUTHS, blended, in_between, reconstruct, windows
from ds4d.run.events import Event
from ds4d.splatting.splats import Splats
from tests.fakes import l4gm as tiny
from tests.paths import GOLDEN
from tests.stages import finished

SCENARIOS = json.loads((GOLDEN / "g6/schedule.json").read_text())["scenarios"]
START = Event("multiview", 0, 100)


def shown_frames(scenario: dict) -> list[int]:
    """Frames of the clip that the official script shows to the network, each once."""
    step = max(1, scenario["clip_fps"] // 15 if scenario["clip_fps"] > 15 else 1)
    return list(range(0, step * (scenario["clip_frames"] // step), step))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: f"{s['clip_frames']}x{s['clip_fps']}")
def test_golden_windows(scenario):
    """As the official ones, without copies of the last frame and windows of nothing else."""
    frames = shown_frames(scenario)
    official = [list(dict.fromkeys(window["frames"])) for window in scenario["windows"]]
    while len(official) > 1 and len(official[-1]) == 1:
        official.pop()  # nothing of it is kept
    ours = windows(len(frames), scenario["num_frames"])
    assert [[frames[i] for i in window] for window in ours] == official
    kept = [index for k, window in enumerate(ours) for index in (window[1:] if k else window)]
    assert kept == list(range(len(frames)))


@pytest.fixture
def looked_at(monkeypatch) -> list:
    """A network that notes its inputs: a Gaussian per frame, as red as the front's first pixel."""
    calls = []

    def forward(network, images, azimuths):
        calls.append(SimpleNamespace(images=images, azimuths=azimuths))
        return [dot(float(frame[0, 0, 0, 0])) for frame in images[0]]

    monkeypatch.setattr(module, "forward", forward)
    monkeypatch.setattr(module, "side_views", lambda splats, rasterizer: torch.full(
        (3, 3, 1, 1), float(splats.colors[0, 0])))  # fmt: skip
    return calls


def dot(red: float) -> Splats:
    quats = torch.tensor([[1.0, 0, 0, 0]])
    return Splats(torch.zeros(1, 3), quats, torch.full((1, 3), 0.1), torch.ones(1),
                  torch.tensor([[red, 0, 0]]))  # fmt: skip


def ramp(frames: int) -> torch.Tensor:
    return (torch.arange(frames) / 100)[:, None, None, None].expand(-1, 3, 1, 1)


def test_a_later_window_begins_with_the_shared_frame_and_renders_of_its_gaussians(looked_at):
    sides, turned = torch.full((3, 3, 1, 1), 0.5), (80.0, 170.0, 260.0)
    events, found = finished(reconstruct(None, ramp(9), sides, turned, 4, START))
    assert [round(float(splats.colors[0, 0]) * 100) for splats in found] == list(range(9))
    first, second, third = looked_at
    assert first.azimuths == (0, *turned) and second.azimuths == third.azimuths == (0, *AZIMUTHS)
    assert (first.images[0, :, 1:] == 0.5).all()
    assert torch.allclose(second.images[0, :, 1:], torch.tensor(0.03))
    assert torch.allclose(third.images[0, :, 1:], torch.tensor(0.06))
    assert [event.step for event in events] == [4, 7, 9]


def test_each_pair_of_neighbours_is_joined_once(looked_at):
    _, found = finished(in_between(None, ramp(32), [dot(k / 100) for k in range(32)], START))
    expected = [k / 300 for k in range(3 * 31 + 1)]  # the official script leaves two out
    assert torch.allclose(torch.tensor([float(s.colors[0, 0]) for s in found]),
                          torch.tensor(expected), atol=1e-6)  # fmt: skip
    assert len(looked_at) == 31


def test_frames_in_between_are_shown_as_blends():
    first, last = torch.zeros(4, 3, 2, 2), torch.full((4, 3, 2, 2), 0.9)
    assert torch.allclose(blended(first, last).mean((1, 2, 3, 4)), torch.tensor([0, 0.3, 0.6, 0.9]))


@pytest.fixture(scope="module")
def network() -> L4GM:
    network = L4GM(tiny.TINY).eval().requires_grad_(False)
    network.load_state_dict(tiny.weights(tiny.TINY))
    return network


def test_identical_frames_make_identical_gaussians(network):
    views = torch.rand(1, 1, 4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    frames = views.expand(1, 3, -1, -1, -1, -1)
    first, second, third = module.forward(network, frames, (0, 90, 180, 270))
    assert len(first) == 4 * 32 * 32
    for name, tensor in first.tensors().items():
        assert torch.allclose(tensor, second.tensors()[name], atol=1e-5)
        assert torch.allclose(tensor, third.tensors()[name], atol=1e-5)


def test_overflow_in_half_precision_is_repeated_in_single(network):
    half = L4GM(tiny.TINY).eval().requires_grad_(False)
    half.load_state_dict(network.state_dict())
    half.bfloat16()
    half.conv.register_forward_hook(
        lambda module, inputs, out: out * float("inf") if out.dtype == torch.bfloat16 else out
    )
    views = torch.rand(1, 1, 4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    (splats,) = module.forward(half, views, (0, 90, 180, 270))
    assert splats.means.isfinite().all() and half.conv.weight.dtype == torch.bfloat16
