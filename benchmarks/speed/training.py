"""Training steps per second, on a synthetic object: swaying blobs."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator

import numba
import numpy as np
import torch
from torch import Tensor

from ds4d.cameras import rig_cameras
from ds4d.config import FourdConfig
from ds4d.features import descriptors
from ds4d.fourd.densify import rotate
from ds4d.fourd.losses import structural
from ds4d.fourd.stage import advance
from ds4d.fourd.trainer import Trainer
from ds4d.guidance import Perceptual, Zero123
from ds4d.multiview.views import Views
from ds4d.presets import PRESETS
from ds4d.run import device as devices
from ds4d.run.events import result
from ds4d.splatting.splats import render

from .measure import synchronize
from .step_profile import BLOBS, blobs

FRAMES, VIEWS = 24, 7
# Gaussians during timing: roughly what the presets end with.
GAUSSIANS = {"preview": 4500, "standard": 5000, "paper": 30_000}
NEVER = 10**9  # steps
BLOCK = 100  # steps per timing: one refresh of visibility
SECONDS, BLOCKS = 20.0, 5  # per row
FAINT = 1e-9  # weight of losses with random networks: same cost, no influence
DINO = (37, 37, 768)  # patches and channels of DINOv2's features
TINY = FourdConfig(
    points=100, image_size=48, plane_size=8, plane_levels=1, plane_width=4,
    feature_width=4, hidden_width=16,
)  # fmt: skip


def run(quick: bool) -> Iterator[dict]:
    """Rows of every preset, and on a GPU of the paper's with SDS by Zero123, random weights."""
    if quick:
        yield from preset("tiny", TINY, size=48, frames=3, grid=4, seconds=0.05)
        return
    cuda = devices.pick("auto").type == "cuda"
    for name, config in PRESETS.items():
        fourd = dataclasses.replace(config.fourd, points=GAUSSIANS[name], sds=0.0)
        options = {"size": config.clip.size, "grid": config.features.grid}
        yield from preset(name, fourd, **options)
        if config.fourd.sds and cuda:
            yield from preset(f"{name}, SDS", dataclasses.replace(fourd, sds=1.0), **options)


def preset(
    name: str,
    config: FourdConfig,
    *,
    size: int,  # of the views, pixels
    grid: int,  # patches of the features
    frames: int = FRAMES,
    seconds: float = SECONDS,  # for each row
) -> Iterator[dict]:
    """Rows for both phases, and what the preset's whole schedule comes to."""
    scheduled, static, dynamic = 0.0, config.static_iterations, config.dynamic_iterations
    for moving, counted in ((False, static), (True, dynamic)):
        training = prepare(phase(config, moving), size=size, grid=grid, frames=frames)
        # The middle of the phase: SDS sees small pictures at first.
        training.step = static + dynamic // 2 if moving else static // 2
        row = {
            "part": "steps", "preset": name, "phase": "dynamic" if moving else "static",
            "pixels": config.image_size, "gaussians": len(training.model.gaussians),
            **pace(training, seconds),
        }  # fmt: skip
        if not torch.isfinite(training.loss):
            row["note"] = "the loss is no number: not a figure to rely on"
        del training
        devices.release()
        scheduled += counted * row["ms_per_step"] / 1e3
        yield row | {"scheduled": counted}
    yield {
        "part": "steps", "preset": name, "phase": "whole schedule", "gaussians": config.points,
        "scheduled": static + dynamic, "seconds": round(scheduled, 1),
    }  # fmt: skip


def phase(config: FourdConfig, moving: bool) -> FourdConfig:
    """The same steps for ever, with a fixed number of Gaussians."""
    return dataclasses.replace(
        config, static_iterations=0 if moving else NEVER, dynamic_iterations=NEVER,
        densify_from=NEVER, densify_until=NEVER,
    )  # fmt: skip


def pace(training: Trainer, seconds: float) -> dict:
    """Median pace of blocks of steps, after some that warm up."""
    devices.reset_peak_memory()
    begun = time.perf_counter()
    for warm in range(200):
        single = _block(training, 1)
        if warm and time.perf_counter() - begun > seconds / 4:
            break
    count = max(1, min(BLOCK, int(seconds / BLOCKS / single)))
    times: list[float] = []
    while len(times) < BLOCKS and (len(times) < 2 or sum(times) < seconds):
        times.append(_block(training, count) / count)
    step = float(np.median(times))
    return {
        "ms_per_step": round(1e3 * step, 3), "steps_per_second": round(1 / step, 2),
        "steps": count, "repeats": len(times), **devices.peak_memory(),
    }  # fmt: skip


def _block(training: Trainer, count: int) -> float:
    """Seconds of some steps in a row, as the stage does them."""
    synchronize()
    started = time.perf_counter()
    for _ in range(count):
        advance(training, numba.get_num_threads())
    synchronize()
    return time.perf_counter() - started


def prepare(
    config: FourdConfig, *, size: int, grid: int, frames: int = FRAMES, views: int = VIEWS
) -> Trainer:
    """The beginning of an optimization of the blobs, with points spread in them."""
    seen, device = pictures(size, frames, views), devices.pick("auto")
    middle, generator = blobs(0.5), torch.Generator().manual_seed(1)
    blob = torch.randint(BLOBS, (config.points,), generator=generator)
    away = 0.7 * middle.scales[blob] * torch.randn(config.points, 3, generator=generator)
    points = middle.means[blob] + rotate(middle.quats[blob], away)
    features = described(size, frames, views, grid, device)
    perceptual, sds = guidance(config, seen, device)
    if device.type == "cuda":
        config = dataclasses.replace(
            config, perceptual=min(config.perceptual, FAINT), sds=min(config.sds, FAINT)
        )
    return Trainer(
        seen, torch.linspace(0, 1, frames), features, points, middle.colors[blob], config, 0,
        device, perceptual, sds,
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def pictures(size: int, frames: int, views: int) -> Views:
    """The blobs from the front and from the first of the six other sides."""
    cameras = rig_cameras(size)[list(range(views))]
    images = []
    for position in torch.linspace(0, 1, frames).tolist():
        rgb, alpha, _ = render(blobs(position), cameras, background=0.0)
        image = torch.cat([rgb / alpha.clamp(min=1e-3), alpha], -1).clamp(0, 1)
        images.append((image * 255).round().byte().numpy())
    return Views(np.stack(images), cameras)


@functools.lru_cache(maxsize=1)
def described(size: int, frames: int, views: int, grid: int, device: torch.device) -> Tensor:
    """Features as on this machine: descriptors on a CPU, noise in DINOv2's shape on a GPU."""
    if device.type == "cuda":
        return torch.randn(frames, views, *DINO, generator=torch.Generator().manual_seed(0))
    return result(descriptors.run(pictures(size, frames, views).images, grid))


def guidance(
    config: FourdConfig, views: Views, device: torch.device
) -> tuple[Perceptual, Zero123 | None]:
    """Perceptual loss and SDS as on this machine; on a GPU, LPIPS and Zero123 of random weights."""
    if device.type == "cpu":
        return structural, None
    from ds4d.guidance import lpips, networks

    perceptual = lpips.perceptual_loss(lpips.build(device))
    if not config.sds:
        return perceptual, None
    from tests.fakes import zero123 as published

    zero123 = Zero123(networks.build(published.REAL, device), stable=False)
    result(zero123.encode_references(views.images, views.cameras, torch.Generator().manual_seed(0)))
    return perceptual, zero123
