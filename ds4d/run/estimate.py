"""Estimates of the time and memory of each stage, before a run is started.

The figures below were measured (benchmarks/README.md) and are scaled by the quantities with which
each stage's work grows. Another machine, or a busy one, may take half or twice as long.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..config import Config, FourdConfig
from ..presets import PRESETS
from .events import STAGES

# Two x86-64 cores without a GPU, a bundled clip (24 frames, preview preset): seconds of each stage.
CORES = 2
ON_CPU = {
    "clip": 0.7, "matting": 4.8, "multiview": 4.8, "features": 0.7, "mesh": 0.3, "videos": 5.7,
    "export": 32.0,
}  # fmt: skip
STEP_ON_CPU = {"preview": 0.039, "standard": 0.09, "paper": 1.7}  # seconds of a step
CPU_GB = 1.5  # peak memory of a preview

# One NVIDIA H200 with the pretrained networks.
ON_H200 = {
    "clip": 0.9, "matting": 24.0, "multiview": 28.0, "features": 1.3, "mesh": 3.2, "videos": 2.5,
    "export": 30.0,  # on the CPU, for the most part: the mesh that moves
}  # fmt: skip
# Seconds of a step without SDS, capturing of CUDA graphs included. Standard was timed with a sixth
# fewer Gaussians (.0038), and scaled.
STEP_ON_H200 = {"preview": 0.0056, "standard": 0.0045, "paper": 0.0071}
SDS_STEP = 0.033  # additional seconds of a step with SDS, for four moments
GPU_GB = {"matting": 1.0, "multiview": 6.5, "features": 0.7, "mesh": 1.7, "fourd": 4.5}
# --multiview.engine l4gm: seconds of a frame on both, and of the side views of the first one on the
# GPU; memory of a window on the CPU, extrapolated from four frames of the published code.
L4GM_FRAME, L4GM_SIDES, L4GM_CPU_GB = {"gpu": 0.13, "cpu": 28.0}, 8.0, 13.0
RELIEF_FRAME = 1.0  # --multiview.engine relief: seconds of a frame on the CPU, by random weights
NETWORKS = ("multiview", "features", "mesh")
LOADING = 10.0  # seconds until weights are on the GPU

# Memory bandwidth by the manufacturers' data sheets, TB/s. Networks slow down in proportion; a step
# without networks waits for kernel launches as well and slows down by the square root; the other
# stages run on the CPU.
BANDWIDTH = {
    "T4": 0.32, "L4": 0.30, "A10G": 0.60, "L40S": 0.86, "RTX PRO 6000": 1.79, "A100": 2.0,
    "H100": 3.35, "H200": 4.8,
}  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """The estimated time and memory of one stage."""

    stage: str
    seconds: float
    memory_gb: float  # of the GPU if there is one, else of the machine


def expected(config: Config, frames: int, gpu: str, cores: int) -> list[Cost]:
    """Estimate time and memory of the stages of a run, in their order.

    Args:
        frames: number of frames that are used of the clip; interpolation adds to them.
        gpu: name of the GPU; empty = none.
        cores: number of CPU cores; they matter only without a GPU.
    """
    fourd, start = config.fourd, PRESETS["preview"]
    share = frames / start.clip.frames
    frames = (frames - 1) * config.clip.interpolate + 1
    made = frames / start.clip.frames
    area = (config.clip.size / start.clip.size) ** 2
    grows = {
        "clip": share,
        "matting": share,
        "multiview": made * (config.multiview.steps / start.multiview.steps if gpu else area),
        "features": made * (1 if gpu else (config.features.grid / start.features.grid) ** 2),
        "mesh": (config.mesh.resolution / start.mesh.resolution) ** 2,
        "videos": _video_pixels(config) / _video_pixels(start),
        "export": made * fourd.max_gaussians / start.fourd.max_gaussians,
    }
    slower = slowness(gpu, cores)
    base = ON_H200 if gpu else ON_CPU
    steps = fourd.static_iterations + fourd.dynamic_iterations
    seconds = {
        stage: base[stage] * growth * (slower if not gpu or stage in NETWORKS else 1.0)
        for stage, growth in grows.items()
    }
    seconds["fourd"] = steps * _step(config, bool(gpu), slower)
    l4gm = config.multiview.engine == "l4gm"
    if l4gm:
        sides, frame = (L4GM_SIDES, L4GM_FRAME["gpu"]) if gpu else (0.0, L4GM_FRAME["cpu"])
        seconds["multiview"] = slower * (sides + frames * frame)
    elif config.multiview.engine == "relief" and not gpu:
        seconds["multiview"] += slower * frames * RELIEF_FRAME
    base_gb = CPU_GB + pictures_gb(config, frames)
    heavier = {"multiview": L4GM_CPU_GB} if l4gm else {}
    return [
        Cost(
            stage,
            seconds[stage] + (LOADING if gpu and stage in GPU_GB else 0),
            GPU_GB.get(stage, 1.0) if gpu else base_gb + heavier.get(stage, 0.0),
        )
        for stage in STAGES
    ]


def pictures_gb(config: Config, frames: int) -> float:
    """Memory of the pictures of a run: seven views of each frame, as floats and as bytes."""
    return 2 * 7 * frames * config.clip.size**2 * 4 / 1e9


def slowness(gpu: str, cores: int) -> float:
    """Factor on the time of the measured machine; 1 for an unknown GPU."""
    if not gpu:
        return max(CORES / max(cores, 1), 0.5)  # more cores than four help little
    for name, speed in BANDWIDTH.items():
        if re.search(rf"\b{name}\b", gpu.upper()):
            return BANDWIDTH["H200"] / speed
    return 1.0


def _step(config: Config, on_gpu: bool, slower: float) -> float:
    """Seconds of a step: about half of it grows with the Gaussians, half with the pixels."""
    fourd, start = config.fourd, PRESETS[config.preset].fourd
    base = (STEP_ON_H200 if on_gpu else STEP_ON_CPU)[config.preset]
    points = fourd.max_gaussians / start.max_gaussians
    pixels = _pixels(fourd) / _pixels(start)
    times = fourd.times_per_step
    step = base * (0.5 * points * times / start.times_per_step + 0.5 * pixels)
    if not on_gpu:
        return step * slower
    sds = SDS_STEP * times / 4 if fourd.sds else 0.0
    return step * slower**0.5 + sds * slower


def _pixels(fourd: FourdConfig) -> int:
    """Pixels that a step renders from each of its two views."""
    return fourd.times_per_step * fourd.image_size**2


def _video_pixels(config: Config) -> float:
    return config.videos.size**2 * config.videos.seconds * config.videos.fps
