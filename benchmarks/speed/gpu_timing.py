"""Rasterizer steps on a GPU, and their timing by CUDA events."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ds4d.cameras import orbit_cameras
from ds4d.splatting import rasterize, triton_backend


def scene(N: int, D: int = 3, *, seed: int = 0, size: float = 1.0) -> dict[str, Tensor]:
    """N Gaussians about as large as their distances on the surface of a ball with a few bumps."""
    g = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(N, 3, generator=g), dim=-1)
    radii = 0.38 + 0.05 * torch.sin(9 * directions).prod(-1) + 0.01 * torch.randn(N, generator=g)
    spacing = 0.4 * math.sqrt(4 * math.pi / N) * size
    parts = {
        "means": directions * radii[:, None],
        "quats": torch.randn(N, 4, generator=g),
        "scales": spacing * torch.exp(0.4 * torch.randn(N, 3, generator=g)),
        "opacities": 0.05 + 0.9 * torch.rand(N, generator=g),
        "colors": torch.rand(N, D, generator=g),
    }
    return {name: part.cuda() for name, part in parts.items()}


def views(C: int, width: int, height: int) -> dict:
    cameras = orbit_cameras(
        [360 * i / C + 10 for i in range(C)], [20 * math.sin(i) for i in range(C)], size=height
    )
    Ks = cameras.Ks.clone()
    Ks[:, 0, 2] += (width - height) / 2
    return {"viewmats": cameras.viewmats.cuda(), "Ks": Ks.cuda(), "width": width, "height": height}


class Step:
    """Forward and backward of one scene, with fixed gradients in the images."""

    def __init__(self, C: int, size: int, N: int, D: int = 3):
        self.parts, self.cameras = scene(N, D), views(C, size, size)
        self.parts["backgrounds"] = torch.ones(C, D, device="cuda")
        self.inputs = [x.requires_grad_() for x in self.parts.values()]
        g = torch.Generator("cuda").manual_seed(0)
        shapes = (C, size, size, D), (C, size, size, 1), (C, size, size, 1)
        self.weights = [torch.randn(shape, generator=g, device="cuda") for shape in shapes]

    def forward(self) -> tuple[Tensor, ...]:
        return rasterize(**self.parts, **self.cameras)

    def both(self) -> tuple[Tensor, ...]:
        return torch.autograd.grad(self.forward(), self.inputs, self.weights)


class PeerStep(Step):
    """The same with gsplat."""

    def forward(self) -> tuple[Tensor, ...]:
        from gsplat import rasterization

        images, alphas, _ = rasterization(
            **self.parts, **self.cameras, packed=False, render_mode="RGB+ED"
        )
        return images[..., :-1], alphas, images[..., -1:]


def median_ms(function: Callable[[], object], repeats: int = 30) -> float:
    """Median milliseconds of a call, the GPU's queue being empty before it."""
    for _ in range(5):
        function()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        function()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return round(statistics.median(times), 4)


def streamed_ms(function: Callable[[], object], repeats: int = 50) -> float:
    """Milliseconds per call of many calls in a row, the host running ahead as in training."""
    function()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(repeats):
        function()
    torch.cuda.synchronize()
    return round((time.perf_counter() - begin) / repeats * 1e3, 4)


def captured(function: Callable[[], object]) -> Callable[[], None]:
    """A CUDA graph of the call."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        function()
    return graph.replay


def time_step(step: Step, *, graph: bool = True) -> dict[str, float]:
    def drawing():
        with torch.no_grad():
            step.forward()

    row = {"forward": median_ms(drawing), "both": median_ms(step.both)}
    row["streamed"] = streamed_ms(step.both)
    if graph:
        row |= {"graph_forward": median_ms(captured(drawing))}
        row |= {"graph_both": median_ms(captured(step.both))}
    return row


def kernel_times(step: Step, repeats: int = 10) -> dict[str, float]:
    """Milliseconds per step in each kernel."""
    step.both()
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(repeats):
            step.both()
        torch.cuda.synchronize()
    rows = sorted(profile.key_averages(), key=lambda row: -row.device_time_total)
    return {
        f"{row.key[:60]} x{row.count / repeats:g}": round(row.device_time_total / repeats / 1e3, 4)
        for row in rows
        if row.device_time_total > 0
    }


def copy_bandwidth() -> float:
    """Bytes read and written per second by a large copy on the device."""
    source = torch.rand(1 << 28, device="cuda")
    target = torch.empty_like(source)
    return 2 * 4 * len(source) / median_ms(lambda: target.copy_(source)) * 1e3


def floor_ms(C: int, size: int, N: int, D: int, bandwidth: float) -> float:
    """Milliseconds to read and write once what goes in and comes out of a step, and its lists."""
    listed = next(iter(triton_backend._rooms[torch.device("cuda", 0), C, size, size].count))
    inputs = 4 * N * (3 + 4 + 3 + 1 + D)
    images = 4 * C * size * size * (D + 2)
    records = 4 * C * N * (8 + triton_backend._channels(D))
    pairs = int(listed) * 4 * (8 + triton_backend._channels(D) + 2)
    return (2 * inputs + 2 * images + 4 * records + 2 * pairs) / bandwidth * 1e3
