"""LPIPS's kernel against the package's formula, values and gradients; on a CPU in Triton's
interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ds4d.guidance import lpips
from ds4d.kernels.triton import lpips as triton_lpips

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(-1, keepdim=True).sqrt() + 1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_distances_and_their_gradients(dtype, monkeypatch):
    """Of two images, two layers; channels that are no power of two, several programs."""
    monkeypatch.setattr(triton_lpips, "TILE", 64)
    shapes = (2, 7, 5, 6), (2, 3, 4, 9)
    mine, theirs = ([random(*s, seed=s[1] + k).to(dtype) for s in shapes] for k in (0, 1))
    weights = [random(1, shape[-1], 1, 1) for shape in shapes]
    precise = [features.double().requires_grad_() for features in mine]
    want = 0.0
    for a, b, weight in zip(precise, theirs, weights, strict=True):
        want += ((unit(a) - unit(b.double())).square() @ weight.double().flatten()).mean((1, 2))
    got, gradients = triton_lpips.compare(mine, theirs, weights, 100.0)
    torch.testing.assert_close(got, want.float(), rtol=1e-5, atol=1e-7)
    for mine, theirs in zip(gradients, torch.autograd.grad(want.sum(), precise), strict=True):
        assert mine.dtype == dtype
        tolerance = 1e-5 if dtype == torch.float32 else 1e-3
        found = mine.double() / 100
        torch.testing.assert_close(found, theirs, rtol=tolerance, atol=1e-7)


def test_where_nothing_is_felt_gradients_stay_finite():
    mine, theirs = [torch.zeros(1, 1, 1, 4, device=DEVICE)], [random(1, 1, 1, 4)]
    _, gradients = triton_lpips.compare(mine, theirs, [random(4)], 1.0)
    assert gradients[0].half().isfinite().all()


def test_whole_network():
    """Every image's gradient by its own weight; a weight too small for half precision counts."""
    torch.manual_seed(0)
    network = lpips.build(DEVICE)
    render, target = 2 * random(2, 3, 18, 20) - 1, 2 * random(2, 3, 18, 20, seed=1) - 1
    v = torch.tensor([1e-6, 2.0], device=DEVICE)
    found = []
    for distance in (network, lambda *images: triton_lpips.distance(*images, network)):
        image = render.clone().requires_grad_()
        distances = distance(image, target).flatten()
        found.append((distances, *torch.autograd.grad(distances, image, v)))
    (want, v_want), (got, v_got) = found
    precise = DEVICE.type == "cpu"
    torch.testing.assert_close(got, want, rtol=1e-5 if precise else 1e-2, atol=0)
    for mine, theirs in zip(v_got, v_want, strict=True):
        assert (mine - theirs).norm() < (1e-3 if precise else 0.1) * theirs.norm()
    with torch.no_grad():
        torch.testing.assert_close(triton_lpips.distance(render, target, network), got)
