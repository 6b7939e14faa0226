"""L4GM at its published size with random weights: seconds and memory of 24 frames.

    python -m benchmarks.l4gm [--json FILE]
    python -m benchmarks.l4gm --tiny --device cpu      # the same program on a small network

Speed and memory do not depend on the values of weights. Random ones are written once in the
published layout and loaded like real ones. They reconstruct a cloud of small Gaussians, so that
rendering has as much to do as with an object.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from safetensors.torch import save_file

from ds4d.cameras import Cameras, orbit_cameras
from ds4d.config import MachineConfig, MultiviewConfig
from ds4d.multiview.l4gm import engine
from ds4d.multiview.l4gm.frames import SIZE
from ds4d.multiview.l4gm.network import BIG, L4GM, load
from ds4d.multiview.l4gm.reconstruct import AZIMUTHS, WINDOW, forward
from ds4d.multiview.l4gm.sides import Sides
from ds4d.run.device import network_dtype, release
from ds4d.run.events import Event, Stage
from tests.fakes import l4gm as published

FRAMES, TINY_FRAMES = 24, 3


@dataclasses.dataclass(frozen=True)
class Options:
    json: Path | None = None
    """file for the rows as JSON"""
    device: str = "cuda"
    """device of the network"""
    tiny: bool = False
    """a small network and three frames, to try the program"""
    size: int = 512
    """side of the rendered views, pixels"""
    folder: Path = Path(tempfile.gettempdir()) / "ds4d-random-l4gm"
    """folder for the random weights (3.7 GB), reused later"""


def main(options: Options) -> None:
    sizes = published.TINY if options.tiny else BIG
    folder = options.folder / ("tiny" if options.tiny else "big")
    for seed, name in enumerate(("recon", "interp")):
        file = folder / "jiawei011/L4GM" / f"{name}.safetensors"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(published.weights(sizes, seed), file)
    rows = []
    for row in measures(options, folder):
        rows.append(row)
        print(json.dumps(row), flush=True)
        release()
    gpu = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    report = {"gpu": gpu, "torch": torch.__version__, "rows": rows}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def measures(options: Options, folder: Path) -> Iterator[dict[str, Any]]:
    """A row for the network alone, and for the engine in each of its modes."""
    device = torch.device(options.device)
    file = folder / "jiawei011/L4GM/recon.safetensors"
    network, seconds, peak = measured(lambda: load(file, device, network_dtype(device)), device)
    yield {"what": "loading recon.safetensors", "seconds": seconds, "peak_gb": peak}
    yield from of_network(network, device, 2 if options.tiny else WINDOW)
    del network
    frames = disc(TINY_FRAMES if options.tiny else FRAMES)
    machine = MachineConfig(device=options.device, weights=str(folder))
    modes = {
        "engine": (MultiviewConfig(), machine),
        "engine, once more": (MultiviewConfig(), machine),
        "engine, --low-memory": (MultiviewConfig(), dataclasses.replace(machine, low_memory=True)),
    }
    for name, (config, mode) in modes.items():
        yield of_engine(name, frames, len(frames), config, mode, options.size)
    keys = 2 if options.tiny else 8
    between = disc(3 * (keys - 1) + 1)
    config = MultiviewConfig(between=True)
    yield of_engine("engine, frames in between", between, keys, config, machine, options.size)


def of_network(network: L4GM, device: torch.device, frames: int) -> Iterator[dict[str, Any]]:
    """Seconds of one window, and what half precision changes in it."""
    images = torch.rand(1, frames, 4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    run = lambda: forward(network, images, (0.0, *AZIMUTHS))  # noqa: E731
    run()
    splats, seconds, peak = measured(run, device)
    finite = all(each.means.isfinite().all() for each in splats)
    row = {"what": f"network, {frames} frames", "seconds": seconds, "peak_gb": peak}
    yield row | {"finite": bool(finite), "gaussians": sum(map(len, splats))}
    few = images[:, :2]
    half = forward(network, few, (0.0, *AZIMUTHS))
    single = forward(network.float(), few, (0.0, *AZIMUTHS))
    off = [(a.means - b.means).norm(dim=-1) for a, b in zip(half, single, strict=True)]
    off = torch.cat(off)
    yield {
        "what": "positions in half beside single precision, world units",
        "median": off.median().item(), "largest": off.max().item(),
    }  # fmt: skip


def of_engine(
    name: str,
    frames: np.ndarray,
    sampled: int,
    config: MultiviewConfig,
    machine: MachineConfig,
    size: int,
) -> dict[str, Any]:
    """Seconds of each part of the whole engine, but for the side views, and its peak memory."""
    marks: list[tuple[float, str]] = []

    def run() -> None:
        started = time.perf_counter()
        stage = engine.run(
            frames, size, config=config, machine=machine, front=orbit_cameras([0.0], size=SIZE),
            draw_sides=white_sides, sampled=sampled,
        )  # fmt: skip
        for event in stage:
            _wait(machine.device)
            marks.append((time.perf_counter() - started, event.message))

    _, seconds, peak = measured(run, torch.device(machine.device))
    loaded = next(at for at, message in marks if message.startswith("Gaussians"))
    rendered = [at for at, message in marks if message.startswith("views of frame")]
    last = max(at for at, message in marks if message.startswith("Gaussians"))
    return {
        "what": f"{name}, {len(frames)} frames, views of {size} px", "seconds": seconds,
        "until_first_window": loaded, "until_all_gaussians": last,
        "rendering": rendered[-1] - last, "peak_gb": peak,
    }  # fmt: skip


def disc(count: int) -> np.ndarray:
    """Frames [count, 256, 256, 4] of a disc that moves."""
    y, x = np.mgrid[:SIZE, :SIZE]
    frames = np.zeros((count, SIZE, SIZE, 4), np.uint8)
    for index, frame in enumerate(frames):
        inside = (x - 100 - 2 * index) ** 2 + (y - 128) ** 2 < 70**2
        frame[inside] = (200, 120, 40, 255)
    return frames


def white_sides(frames: np.ndarray, front: Cameras) -> Stage[Sides]:
    """Side views without an object: their pixels cost as much as others."""
    yield Event("multiview", 1, 1)
    return Sides(np.full((3, SIZE, SIZE, 3), 255, np.uint8), AZIMUTHS)


def measured(work: Callable[[], Any], device: torch.device) -> tuple[Any, float, float]:
    """The result of some work, its seconds, and the peak of the GPU's memory, GB."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    _wait(device.type)
    started = time.perf_counter()
    result = work()
    _wait(device.type)
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0
    return result, time.perf_counter() - started, peak


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
