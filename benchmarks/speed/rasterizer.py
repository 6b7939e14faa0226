"""Rasterizers: milliseconds forward and backward, and distance to the memory-bandwidth floor."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ds4d.cameras import Cameras, orbit_cameras
from ds4d.splatting import rasterize

from .measure import median_ms, timed
from .peers import PEERS

SIZES = {
    "gaussians": (1_000, 10_000, 30_000, 100_000), "pixels": (128, 256, 512), "cameras": (1, 4, 16)
}  # fmt: skip
QUICK = {"gaussians": (50, 100), "pixels": (16,), "cameras": (1, 2)}
TARGETS = ((30_000, 512, 4), (10_000, 256, 16))  # Gaussians, pixels, cameras
REPEATS, CAP = 30, 3.0  # of each measure; seconds

Draw = Callable[[dict[str, Tensor], Cameras, Tensor], tuple[Tensor, ...]]


def ours(parts: dict[str, Tensor], cameras: Cameras, backgrounds: Tensor) -> tuple[Tensor, ...]:
    return rasterize(
        **parts, viewmats=cameras.viewmats, Ks=cameras.Ks, width=cameras.width,
        height=cameras.height, backgrounds=backgrounds,
    )  # fmt: skip


def engines() -> dict[str, tuple[str, Draw]]:
    """Rasterizers available on this machine, by name: device and function."""
    found: dict[str, tuple[str, Draw]] = {"numba": ("cpu", ours)}
    if torch.cuda.is_available():
        found["triton"] = ("cuda", ours)
        installed = {name: call for name, call in PEERS.items() if importlib.util.find_spec(name)}
        found |= {name: ("cuda", call) for name, call in installed.items()}
    return found


def ball(N: int, device: str) -> dict[str, Tensor]:
    """N Gaussians on the surface of a bumpy ball, scaled to their spacing.

    Coverage is independent of N, as in a training that adds Gaussians.
    """
    g = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(N, 3, generator=g), dim=-1)
    radii = 0.38 + 0.05 * torch.sin(9 * directions).prod(-1) + 0.01 * torch.randn(N, generator=g)
    spacing = 0.4 * math.sqrt(4 * math.pi / N)
    parts = {
        "means": directions * radii[:, None],
        "quats": torch.randn(N, 4, generator=g),
        "scales": spacing * torch.exp(0.4 * torch.randn(N, 3, generator=g)),
        "opacities": 0.05 + 0.9 * torch.rand(N, generator=g),
        "colors": torch.rand(N, 3, generator=g),
    }
    return {name: part.to(device).requires_grad_() for name, part in parts.items()}


class Step:
    """One rendering of the ball, forward, and backward from fixed image gradients."""

    def __init__(self, engine: str, N: int, size: int, C: int):
        self.device, self.draw = engines()[engine]
        self.parts = ball(N, self.device)
        azimuths = [360 * index / C + 10 for index in range(C)]
        elevations = [20 * math.sin(index) for index in range(C)]
        self.cameras = orbit_cameras(azimuths, elevations, size=size).to(self.device)
        self.backgrounds = torch.ones(C, 3, device=self.device)
        g = torch.Generator().manual_seed(1)
        self.gradients = [
            torch.randn(image.shape, generator=g).to(self.device) for image in self.forward()
        ]

    def forward(self) -> tuple[Tensor, ...]:
        return self.draw(self.parts, self.cameras, self.backgrounds)

    def both(self) -> tuple[Tensor, ...]:
        return torch.autograd.grad(self.forward(), list(self.parts.values()), self.gradients)


def measure(engine: str, N: int, size: int, C: int, repeats: int = REPEATS) -> dict:
    """One row; backward is what forward and backward together take longer than forward."""
    row = {"part": "rasterizer", "engine": engine, "gaussians": N, "pixels": size, "cameras": C}
    step = Step(engine, N, size, C)
    both = timed(step.both, repeats=repeats, cap=CAP)
    if not both:
        return row | {"note": f"skipped: a call takes more than {CAP:g} s"}
    forward = timed(step.forward, repeats=repeats, cap=CAP)
    row |= {"forward_ms": median_ms(forward), "both_ms": median_ms(both), "repeats": len(both)}
    return row | {"backward_ms": round(row["both_ms"] - row["forward_ms"], 4)}


def run(quick: bool) -> Iterator[dict]:
    """Rows of every size with every engine; then the floors of the targets, on a GPU."""
    sizes = QUICK if quick else SIZES
    for engine in engines():
        for N, size, C in itertools.product(*sizes.values()):
            try:
                yield measure(engine, N, size, C, 2 if quick else REPEATS)
            except Exception as error:  # somebody else's package, built for another machine
                if engine not in PEERS:
                    raise
                yield {"part": "rasterizer", "engine": engine, "note": f"cannot run: {error!r}"}
                break
    if torch.cuda.is_available():
        for target in TARGETS:
            yield floor(*target)


def floor(N: int, size: int, C: int) -> dict:
    """Time our step beside its memory-bandwidth floor: each array read and written once.

    The step is also replayed as a CUDA graph, which leaves out the launches of its kernels.
    """
    from . import gpu_timing

    step = Step("triton", N, size, C)
    both = timed(step.both, repeats=REPEATS, cap=CAP)
    graph = timed(gpu_timing.captured(step.both), repeats=REPEATS, cap=CAP)
    bandwidth = _bandwidth()
    return {
        "part": "floor", "engine": "triton", "gaussians": N, "pixels": size, "cameras": C,
        "both_ms": median_ms(both), "graph_ms": median_ms(graph),
        "floor_ms": round(gpu_timing.floor_ms(C, size, N, 3, bandwidth), 4),
        "copy_bandwidth_gb_s": round(bandwidth / 1e9),
    }  # fmt: skip


@functools.cache
def _bandwidth() -> float:
    from . import gpu_timing

    return gpu_timing.copy_bandwidth()
