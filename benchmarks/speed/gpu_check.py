"""Triton rasterizer on this machine's GPU: accuracy, speed, and time by kernel.

python -m benchmarks.speed.gpu_check [--json FILE] [--variants] [--quick]

Compares with the float64 reference in tests/splatting/twin.py; times eager steps, CUDA graphs
and, where installed, gsplat in the same run; prints a table.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path

import torch
from torch import Tensor

from ds4d.splatting import rasterize, triton_backend

from .gpu_timing import (
    PeerStep,
    Step,
    captured,
    copy_bandwidth,
    floor_ms,
    kernel_times,
    scene,
    time_step,
    views,
)

NAMES = ("means", "quats", "scales", "opacities", "colors")
TARGETS = (4, 512, 30_000), (16, 256, 10_000)  # cameras, pixels, Gaussians
TILES = (8, 4), (8, 8), (16, 8), (16, 16)
WARPS = 1, 2


def load_twin():
    path = Path(__file__).parents[2] / "tests" / "splatting" / "twin.py"
    spec = importlib.util.spec_from_file_location("splat_twin", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def steady_pixels(twin, parts: dict[str, Tensor], options: dict) -> Tensor:
    """[C, H, W, 1]: pixels that hang neither on a threshold nor on an order of equal depths."""
    nudged = [parts]
    for sign in (-1, 1):
        opacities = parts["opacities"] * (1 + sign * 1e-5)
        means = parts["means"] + 3e-7 * torch.randn_like(parts["means"])
        nudged += [{**parts, "opacities": opacities}, {**parts, "means": means}]
    images = torch.stack([torch.cat(twin.rasterize(**p, **options)[:2], -1) for p in nudged])
    return (images - images[0]).abs().amax((0, -1))[..., None] < 5e-5


def compare(twin, *, N=400, D=3, C=2, own=(), antialiased=False, size=1.0) -> dict[str, float]:
    """Worst differences of images and gradients from the twin, relative to the largest value."""
    g = torch.Generator().manual_seed(1)
    parts, cameras = scene(N, D, size=size), views(C, 75, 61)
    for name in own:
        noise = torch.randn(C, *parts[name].shape, generator=g).cuda()
        parts[name] = parts[name] * (1 + 0.03 * noise)
    parts["backgrounds"] = torch.rand(C, D, generator=g).cuda()
    parts["means2d_offsets"] = torch.randn(C, N, 2, generator=g).cuda()
    options = {**cameras, "antialiased": antialiased}
    with torch.no_grad(), torch.device("cuda"):
        steady = steady_pixels(twin, parts, options)
    inputs = [x.requires_grad_() for x in parts.values()]
    images = rasterize(**parts, **options)
    with torch.device("cuda"):
        expected = twin.rasterize(**parts, **options)
    steady = [steady, steady, steady & (expected[1] > 0.05)]
    weights = [
        torch.randn(image.shape, generator=g).cuda() * kept
        for image, kept in zip(images, steady, strict=True)
    ]
    worst = {}
    for name, image, other, kept in zip(
        ("image", "alpha", "depth"), images, expected, steady, strict=True
    ):
        worst[name] = _relative((image - other) * kept, other)
    ours, theirs = (
        torch.autograd.grad(
            sum((image * w).sum() for image, w in zip(result, weights, strict=True)), inputs
        )
        for result in (images, expected)
    )
    for name, one, other in zip(parts, ours, theirs, strict=True):
        worst[name] = _relative(one - other, other)
    return worst


def _relative(difference: Tensor, values: Tensor) -> float:
    return (difference.abs().max() / values.abs().max().clamp(min=1e-6)).item()


def check() -> dict:
    """Agreement with the twin, same bits on every run, graphs, and lists without room."""
    twin = load_twin()
    cases = {
        "plain": {}, "antialiased": {"antialiased": True, "size": 0.3}, "one channel": {"D": 1},
        "7 channels": {"D": 7}, "16 channels": {"D": 16}, "32 channels": {"D": 32},
        "own": {"own": NAMES}, "own means": {"own": ("means",)}, "large": {"size": 4.0},
        "one camera": {"C": 1}, "crowd": {"N": 3000, "size": 2.0},
    }  # fmt: skip
    results = {}
    for name, case in cases.items():
        results[name] = compare(twin, **case)
        worst = max(results[name], key=results[name].get)
        print(f"{name:14} worst {worst} {results[name][worst]:.1e}", flush=True)

    step = Step(4, 256, 10_000)

    def results_of_a_step() -> list[Tensor]:
        images = step.forward()
        gradients = torch.autograd.grad(images, step.inputs, step.weights)
        return [*(image.detach() for image in images), *gradients]

    first, again = results_of_a_step(), results_of_a_step()
    results["same bits"] = all(map(torch.equal, first, again))
    kept: list = []
    replay = captured(lambda: kept.append(results_of_a_step()))
    replay()
    torch.cuda.synchronize()
    results["graph has same bits"] = all(map(torch.equal, first, kept[-1]))
    room = triton_backend._rooms[torch.device("cuda", 0), 4, 256, 256]
    room.capacity, room.count[0] = 1 << 14, 1 << 13
    begin = time.perf_counter()
    crowded = results_of_a_step()
    torch.cuda.synchronize()
    results["crowding is noticed"] = not room.roomy()
    results["without room, s"] = time.perf_counter() - begin
    results["without room"] = max(_relative(a - b, b) for a, b in zip(crowded, first, strict=True))
    step.forward()
    torch.cuda.synchronize()
    step.forward()
    results["room grew"] = room.capacity > 1 << 14
    for name, result in list(results.items())[len(cases) :]:
        print(name, result, flush=True)
    return results


def try_variants() -> list[dict]:
    rows, default = [], (triton_backend.TILE_X, triton_backend.TILE_Y, triton_backend.WARPS)
    for tile in TILES:
        for warps in WARPS:
            (triton_backend.TILE_X, triton_backend.TILE_Y), triton_backend.WARPS = tile, warps
            triton_backend._rooms.clear()
            for C, size, N in TARGETS:
                step = Step(C, size, N)
                row = {"tile": tile, "warps": warps, "C": C, "size": size, "N": N}
                kernels = kernel_times(step)
                row["both"] = round(sum(kernels.values()), 4)
                for name in ("blend_backward", "blend "):
                    row[name] = sum(t for key, t in kernels.items() if key.startswith(name))
                rows.append(row)
                print(*row.values(), flush=True)
    triton_backend.TILE_X, triton_backend.TILE_Y, triton_backend.WARPS = default
    triton_backend._rooms.clear()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--variants", action="store_true", help="time other tiles and warps")
    parser.add_argument("--quick", action="store_true", help="time the two targets alone")
    options = parser.parse_args()
    began = time.perf_counter()
    bandwidth = copy_bandwidth()
    figures = {
        "gpu": torch.cuda.get_device_name(), "torch": torch.__version__,
        "copy_bandwidth_GB_s": round(bandwidth / 1e9),
    }  # fmt: skip
    print(figures, flush=True)
    figures["check"] = check()
    sizes = TARGETS
    if not options.quick:
        sizes = [
            (C, size, N)
            for C in (1, 4, 16)
            for size in (128, 256, 512)
            for N in (1_000, 10_000, 30_000, 100_000)
        ]
    peer = importlib.util.find_spec("gsplat") is not None
    figures["times"] = []
    for C, size, N in sizes:
        step = Step(C, size, N)
        row = {"C": C, "size": size, "N": N, **time_step(step)}
        row["floor"] = round(floor_ms(C, size, N, 3, bandwidth), 4)
        if peer:
            times = time_step(PeerStep(C, size, N), graph=False)
            row |= {f"gsplat_{name}": ms for name, ms in times.items()}
        figures["times"].append(row)
        print(json.dumps(row), flush=True)
    figures["kernels"] = {}
    for C, size, N in TARGETS:
        for name, kind in {"triton": Step, "gsplat": PeerStep}.items():
            if name == "triton" or peer:
                kernels = kernel_times(kind(C, size, N))
                figures["kernels"][f"{name} {C} x {size} px x {N}"] = kernels
                print(f"{name} {C} x {size} x {N}: {sum(kernels.values()):.3f} ms in kernels")
                for key, ms in list(kernels.items())[:16]:
                    print(f"  {ms:8.4f}  {key}")
    if options.variants:
        figures["variants"] = try_variants()
    figures["seconds"] = round(time.perf_counter() - began, 1)
    print(f"{figures['seconds']} s")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
