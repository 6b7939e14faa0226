"""LPIPS from the file of VGG16: equal to the package, without downloads, with clear errors."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from ds4d.errors import UserError
from ds4d.guidance import lpips
from tests.fakes import lpips as tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.make(folder)
    return folder


@pytest.fixture(scope="module")
def perceptual(weights) -> lpips.Perceptual:
    return lpips.load(str(weights), CPU)


def pictures(size: int = 32, count: int = 2) -> torch.Tensor:
    return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(size))


def layers(state: dict[str, torch.Tensor]) -> nn.Sequential:
    """VGG16's `features` as torchvision builds them, up to the last one that LPIPS needs."""
    pools, modules = {4, 9, 16, 23}, []
    for index in range(30):
        if index in tiny.CONVOLUTIONS:
            conv = nn.Conv2d(*tiny.CONVOLUTIONS[index], 3, padding=1)
            conv.load_state_dict({k: state[f"features.{index}.{k}"] for k in ("weight", "bias")})
            modules.append(conv)
        else:
            modules.append(nn.MaxPool2d(2) if index in pools else nn.ReLU())
    return nn.Sequential(*modules)


@torch.no_grad()
def test_is_the_distance_that_the_package_defines(perceptual):
    """Written out: unit features after relu1_2 ... relu5_3, squared differences, learnt weights."""
    import lpips as package

    file = Path(package.__file__).parent / "weights" / "v0.1" / "vgg.pth"
    heads = torch.load(file, map_location="cpu", weights_only=True)
    network = layers(tiny.state())
    render, target = pictures(), pictures().flip(1)
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
    a, b = (((2 * x.permute(0, 3, 1, 2) - 1) - shift) / scale for x in (render, target))
    expected, head = torch.zeros(len(render)), 0
    for index, layer in enumerate(network):
        a, b = layer(a), layer(b)
        if index in (3, 8, 15, 22, 29):
            units = [x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in (a, b)]
            weight = heads[f"lin{head}.model.1.weight"]  # [1, C, 1, 1]
            expected += ((units[0] - units[1]).square() * weight).sum(1).mean((1, 2))
            head += 1
    assert torch.allclose(perceptual(render, target), expected, rtol=1e-4)


def test_equals_the_package_with_the_same_layers(perceptual, weights):
    network = lpips.build(CPU)
    state = tiny.state()
    with torch.no_grad():
        for name, parameter in network.net.named_parameters():
            parameter.copy_(state["features." + name.partition(".")[2]])
    render, target = pictures(), pictures().flip(2)
    channels_first = (x.permute(0, 3, 1, 2) for x in (render, target))
    expected = network(*channels_first, normalize=True).flatten()
    assert torch.allclose(perceptual(render, target), expected, rtol=1e-5)


def test_gradient_reaches_the_render_alone(perceptual):
    render = pictures().requires_grad_()
    target = pictures().flip(1).requires_grad_()
    perceptual(render, target.detach()).sum().backward()
    assert render.grad.abs().sum() > 0 and target.grad is None
    assert (perceptual(target.detach(), target.detach()) == 0).all()


def test_large_images_are_seen_at_256(perceptual):
    render, target = pictures(320, 1), pictures(320, 1).flip(1)
    small = [
        torch.nn.functional.interpolate(
            x.permute(0, 3, 1, 2), (256, 256), mode="bilinear", antialias=True
        ).permute(0, 2, 3, 1)
        for x in (render, target)
    ]
    assert torch.allclose(perceptual(render, target), perceptual(*small), rtol=1e-4)


def test_nothing_stays(weights, monkeypatch):
    made, build = [], lpips.build

    def watched(device):
        network = build(device)
        made.append(weakref.ref(network))
        return network

    monkeypatch.setattr(lpips, "build", watched)
    perceptual = lpips.load(str(weights), CPU)
    assert made[0]() is not None
    del perceptual
    gc.collect()
    assert made[0]() is None


class TestFiles:
    def broken(self, tmp_path: Path, change) -> str:
        """The sentence for a file whose tensors were changed."""
        tiny.make(tmp_path)
        file = tmp_path / "torchvision" / "vgg16-397923af.pth"
        state = torch.load(file, weights_only=True)
        torch.save(change(state), file)
        with pytest.raises(UserError) as error:
            lpips.load(str(tmp_path), CPU)
        assert str(file) in str(error.value)
        return str(error.value)

    def test_missing_layer(self, tmp_path):
        def change(state):
            return {k: v for k, v in state.items() if k != "features.28.weight"}

        assert "28.weight" in self.broken(tmp_path, change)

    def test_another_network(self, tmp_path):
        sentence = self.broken(tmp_path, lambda state: {"fc.weight": torch.zeros(2, 2), **state})
        assert "fc.weight" in sentence

    def test_cut_short(self, tmp_path):
        tiny.make(tmp_path)
        file = tmp_path / "torchvision" / "vgg16-397923af.pth"
        file.write_bytes(file.read_bytes()[:100_000])
        with pytest.raises(UserError, match="vgg16-397923af.pth"):
            lpips.load(str(tmp_path), CPU)

    def test_missing(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(
            "ds4d.weights.reachability.obstacle", lambda _: "this machine is offline"
        )
        with pytest.raises(UserError, match="offline"):
            lpips.load("", CPU)
