"""Features of the Triton backend alone; its images are tested with the other backends."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from ds4d.cameras import orbit_cameras
from ds4d.splatting import rasterize, triton_backend

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="python -m benchmarks.speed.gpu_check tests it on a GPU"
)


def step(N=4):
    """Images of random Gaussians and their gradients."""
    g = torch.Generator().manual_seed(0)
    cameras = orbit_cameras([0.0, 70.0], size=10)
    parts = [
        torch.rand(N, 3, generator=g) - 0.5,
        torch.randn(N, 4, generator=g),
        0.05 + 0.1 * torch.rand(N, 3, generator=g),
        torch.rand(N, generator=g),
        torch.rand(N, 3, generator=g),
    ]
    inputs = [part.requires_grad_() for part in parts]
    images = rasterize(*inputs, cameras.viewmats, cameras.Ks, 10, 10, backend="triton")
    weights = [torch.randn(image.shape, generator=g) for image in images[:2]]
    return images, torch.autograd.grad(images[:2], inputs, weights)


def test_lists_without_room_change_nothing(monkeypatch):
    images, gradients = step()
    monkeypatch.setattr(triton_backend, "_capacity", lambda shape, N, total: 3)
    crowded_images, crowded_gradients = step()
    for one, other in zip(images, crowded_images, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(gradients, crowded_gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6 * one.abs().max())


def test_a_step_is_freed_without_the_garbage_collector(monkeypatch):
    traces = []
    forward = triton_backend.forward

    def watched(*arguments):
        results = forward(*arguments)
        traces.append(weakref.ref(results[-1].records))
        return results

    monkeypatch.setattr(triton_backend, "forward", watched)
    gc.disable()
    try:
        step(N=2)
        assert traces[0]() is None
    finally:
        gc.enable()


def test_only_a_graph_that_was_captured_asks_to_be_captured_again(monkeypatch):
    roomy = triton_backend.Room(10, capacity=200, count=torch.tensor([100]))
    full = triton_backend.Room(10, capacity=105, count=torch.tensor([100]))
    monkeypatch.setattr(triton_backend, "_rooms", {1: roomy, 2: full})
    roomy.captured = True
    assert not triton_backend.crowded()  # the full one belongs to a drawing of the past
    full.captured = True
    assert triton_backend.crowded()
    full.capacity = 130
    assert not triton_backend.crowded()
