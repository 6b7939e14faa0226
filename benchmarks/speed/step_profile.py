"""Time of a training step on a CPU, part by part.

python -m benchmarks.speed.step_profile [--threads 1,2] [--repeats 200]

A synthetic object (swaying blobs) is seen by the seven cameras in 24 frames; the preview preset
trains on it into the dynamic phase. Then whole steps, and each part alone, are timed forward and
backward: medians over the repeats, and minima, which other processes disturb least.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numba
import numpy as np
import torch
import tyro
from torch import Tensor

from ds4d.cameras import rig_cameras
from ds4d.config import FourdConfig
from ds4d.features import descriptors
from ds4d.fourd.densify import rotate
from ds4d.fourd.gaussians import Offsets, deformed
from ds4d.fourd.losses import structural
from ds4d.fourd.trainer import Trainer
from ds4d.multiview.views import Views
from ds4d.run.events import result
from ds4d.splatting.splats import Splats, render

FRAMES, BLOBS = 24, 30
STATIC, DYNAMIC = 60, 200  # steps before timing starts


@dataclasses.dataclass(frozen=True)
class Options:
    threads: str = "1,2"
    """numbers of threads to measure with, by commas"""
    repeats: int = 200
    """times that each part is timed"""
    json: Path | None = None
    """file for the figures as JSON"""


def blobs(position: float) -> Splats:
    """Object at a position in the clip: blobs on a spiral that turns and sways."""
    generator = torch.Generator().manual_seed(0)
    height = torch.linspace(-0.35, 0.35, BLOBS)
    turn = 9 * height + 0.6 * math.sin(2 * math.pi * position)
    sway = 0.1 * torch.sin(4 * height + 2 * math.pi * position)
    radius = 0.08 + 0.1 * torch.rand(BLOBS, generator=generator)
    means = torch.stack([radius * turn.cos() + sway, radius * turn.sin(), height], -1)
    return Splats(
        means=means,
        quats=torch.randn(BLOBS, 4, generator=generator),
        scales=0.02 + 0.04 * torch.rand(BLOBS, 3, generator=generator),
        opacities=torch.full((BLOBS,), 0.99),
        colors=torch.rand(BLOBS, 3, generator=generator),
    )


def trained(config: FourdConfig) -> Trainer:
    """Train on the blobs into the dynamic phase."""
    cameras, positions = rig_cameras(256), torch.linspace(0, 1, FRAMES)
    frames = []
    for position in positions.tolist():
        rgb, alpha, _ = render(blobs(position), cameras, background=0.0)
        image = torch.cat([rgb / alpha.clamp(min=1e-3), alpha], -1).clamp(0, 1)
        frames.append((image * 255).round().byte().numpy())
    views = Views(np.stack(frames), cameras)
    features = result(descriptors.run(views.images, grid=18))
    middle, generator = blobs(0.5), torch.Generator().manual_seed(1)
    blob = torch.randint(BLOBS, (config.points,), generator=generator)
    steps = 0.7 * middle.scales[blob] * torch.randn(config.points, 3, generator=generator)
    points = middle.means[blob] + rotate(middle.quats[blob], steps)
    training = Trainer(
        views, positions, features, points, middle.colors[blob], config, 0,
        torch.device("cpu"), structural, None,
    )  # fmt: skip
    for _ in range(STATIC + DYNAMIC):
        training.advance()
    return training


def timed(
    forward: Callable[[], Sequence[Tensor]], inputs: Sequence[Tensor], repeats: int
) -> dict[str, list[float]]:
    """Time each run forward and, if there are inputs to differentiate, backward; ms."""
    times = {"forward": [], "backward": []}
    for _ in range(repeats):
        started = time.perf_counter()
        outputs = forward()
        ended = time.perf_counter()
        times["forward"].append(1e3 * (ended - started))
        if inputs:
            ones = [torch.ones_like(output) for output in outputs]
            started = time.perf_counter()
            torch.autograd.grad(outputs, inputs, ones, allow_unused=True)
            times["backward"].append(1e3 * (time.perf_counter() - started))
    return times


def _leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


def measure(training: Trainer, repeats: int) -> dict[str, dict[str, list[float]]]:
    """Time whole steps and their parts, ms."""
    model, objective, targets = training.model, training.objective, training.targets
    times, views = (training.sample()[name] for name in ("frames", "views"))
    frames, views = times.repeat_interleave(2), views.flatten()

    def deform() -> list[Tensor]:
        return list(vars(objective.offsets(model, times, training.visibility.lookup)).values())

    offsets = _leaves(deform())
    gaussians = list(model.gaussians.tensors().values())

    def activate() -> list[Tensor]:
        changes = Offsets(*offsets)
        return [*deformed(model.gaussians, changes), model.gaussians.colors(changes.sh0)]

    *moment, colors = _leaves(x.repeat_interleave(2, 0) for x in activate())

    def render_views() -> list[Tensor]:
        return objective.render(model.gaussians, moment, targets.cameras[views], colors)[:2]

    drawn = _leaves(render_views())
    parameters = list(model.network.parameters())

    def step() -> tuple:
        training.advance()
        return ()

    def optimize() -> tuple:
        for group in training.optimizer.adam.param_groups:
            group["lr"] = 0.0  # the state stays as it is
        training.optimizer.adam.step()
        return ()

    parts = {
        "whole step": (step, []),
        "deformation network": (deform, parameters),
        "activations": (activate, [*offsets, *gaussians]),
        "rasterizer": (render_views, [*moment, colors, *gaussians]),
        "targets": (lambda: targets.select(frames, views), []),
        "targets and losses": (lambda: [objective.image_loss(*drawn, frames, views)], drawn),
        "optimizer": (optimize, []),
    }  # fmt: skip
    return {name: timed(*part, repeats) for name, part in parts.items()}


def main(options: Options) -> None:
    config = dataclasses.replace(FourdConfig(), static_iterations=STATIC, densify_from=10**9)
    training, rows = trained(config), []
    for threads in (int(number) for number in options.threads.split(",")):
        torch.set_num_threads(1)
        numba.set_num_threads(threads)
        for name, times in measure(training, options.repeats).items():
            row = {"threads": threads, "part": name}
            for way, values in times.items():
                if values:
                    row |= {way: statistics.median(values), f"{way}, least": min(values)}
            rows.append(row)
    pictures = f"{2 * config.times_per_step} pictures of {config.image_size} px"
    print(f"{len(training.model.gaussians)} Gaussians, {pictures}, ms")
    columns = ["threads", "part", "forward", "forward, least", "backward", "backward, least"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        cells = [row.get(column, "") for column in columns]
        print(
            "| " + " | ".join(f"{x:.2f}" if isinstance(x, float) else str(x) for x in cells) + " |"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
