"""Zero123++ at its real size with random weights: seconds and memory do not depend on the values.

    python -m benchmarks.real_size.zero123plus --steps 28 --frames 9 --batch 8

The first frame is drawn alone, for the others to look at; the rest go in batches.
"""

from __future__ import annotations

import argparse
import time

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from ds4d.device import network_dtype, pick
from ds4d.multiview.zero123plus.attention import Anchor, install
from ds4d.multiview.zero123plus.condition import Condition, draw_noise
from ds4d.multiview.zero123plus.load import Schedule, build
from ds4d.multiview.zero123plus.sampler import decode, denoise
from tests.tiny import zero123plus as published

INNER, GRID = (64, 64), (120, 80)  # latents of a frame and of the six views
TOKENS, WIDTH = 77, 1024
NETWORKS = {
    "unet": lambda: UNet2DConditionModel.from_config(published.UNET),
    "vae": lambda: AutoencoderKL.from_config(published.VAE),
    "text_encoder": lambda: CLIPTextModel(CLIPTextConfig.from_dict(published.TEXT)),
    "vision_encoder": lambda: CLIPVisionModelWithProjection(
        CLIPVisionConfig.from_dict(published.VISION)
    ),
}


def from_config(name: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """One of NETWORKS with small random weights."""
    network = build(NETWORKS[name], dtype).to(device)
    for parameter in network.parameters():
        parameter.normal_(0, 0.02)
    return network


def condition(count: int, device: torch.device, dtype: torch.dtype) -> Condition:
    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=device, dtype=dtype)

    frames, prompts = draw(count, 4, *INNER), draw(count, TOKENS, WIDTH)
    return Condition(frames, prompts, draw(1, 4, *INNER), draw(1, TOKENS, WIDTH))


def schedule(steps: int) -> Schedule:
    scheduler = EulerAncestralDiscreteScheduler.from_config(
        published.SCHEDULER, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(steps)
    return Schedule(scheduler.timesteps, scheduler.sigmas, float(scheduler.init_noise_sigma))


def measure(frames: int, steps: int, batch: int, device: torch.device, anchor_on: str) -> dict:
    """Seconds per frame and gigabytes, for one clip."""
    dtype = network_dtype(device)
    unet, vae = from_config("unet", device, dtype), from_config("vae", device, dtype)
    exchange, noise = install(unet), draw_noise(0, steps, INNER, GRID, guided=True)
    exchange.anchor = Anchor(unet, GRID, torch.device(anchor_on))
    spent = {"first": 0.0, "others": 0.0, "decoding": 0.0}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    parts = [1] + [min(batch, frames - start) for start in range(1, frames, batch)]
    for index, count in enumerate(parts):
        began = _now(device)
        stage = denoise(
            unet, exchange, schedule(steps), condition(count, device, dtype), noise, 4.0
        )  # fmt: skip
        latents = _finish(stage)
        between = _now(device)
        for row in range(count):
            decode(vae, latents[row : row + 1])
        spent["first" if index == 0 else "others"] += between - began
        spent["decoding"] += _now(device) - between
        exchange.anchor.replay()
    kept = sum(tensor.numel() * tensor.element_size() for tensor in exchange.anchor.kept)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return {
        "frames": frames, "steps": steps, "batch": batch, "anchor": anchor_on,
        "first frame, s": round(spent["first"], 2),
        "another frame, s": round(spent["others"] / max(frames - 1, 1), 2),
        "decoding a frame, s": round(spent["decoding"] / frames, 3),
        "anchor, GB": round(kept / 1e9, 2), "peak, GB": round(peak / 1e9, 2),
    }  # fmt: skip


def sizes(dtype: torch.dtype) -> dict[str, str]:
    """Parameters and gigabytes of each network."""
    facts = {}
    for name, make in NETWORKS.items():
        with torch.device("meta"):
            count = sum(parameter.numel() for parameter in make().parameters())
        facts[name] = f"{count:,} parameters, {count * dtype.itemsize / 1e9:.2f} GB"
    return facts


def _finish(stage) -> torch.Tensor:
    while True:
        try:
            next(stage)
        except StopIteration as end:
            return end.value


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--anchor-on", choices=("cpu", "cuda"), default="cpu")
    wanted = parser.parse_args()
    device = pick(wanted.device)
    for name, words in sizes(network_dtype(device)).items():
        print(f"{name}: {words}")
    # One step first: what is set up once is not timed.
    measure(2, 1, 1, device, wanted.anchor_on)
    print(measure(wanted.frames, wanted.steps, wanted.batch, device, wanted.anchor_on))


if __name__ == "__main__":
    main()
