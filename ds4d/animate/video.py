"""Video networks: Wan 2.2 and Stable Video Diffusion make frames from a picture over white."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import AnimateConfig, MachineConfig
from ..images import over
from ..run.device import network_dtype, pick
from ..run.events import Event, Stage
from ..weights import fetch
from . import diffusion

# The camera has to rest, and the object to stay whole: the 4D stage sees one still camera.
MOTION = "The object moves in its own way, gently and naturally."
AROUND = (
    "One object, whole, in the middle of the picture, on a plain white background. "
    "The camera does not move."
)
AGAINST = (
    "moving camera, zoom, pan, cut, cropped object, object leaving the picture, background, "
    "shadow, text, watermark, blur, low quality, deformed, extra limbs, second object"
)
WAN_STEPS, WAN_GUIDANCE = 40, 5.0
SVD_STEPS, SVD_FPS, SVD_MOTION, SVD_NOISE = 25, 7, 127, 0.02  # as published; fps is a condition
SVD_FRAMES = 25  # that the published network was trained for


def wan(
    cut_out: np.ndarray,  # [S, S, 4] uint8
    seed: int,
    config: AnimateConfig,
    machine: MachineConfig,
) -> Stage[np.ndarray]:
    """Frames [T, S', S', 3] uint8 by Wan 2.2 TI2V 5B, which follows words.

    S' is S rounded down to what its patches allow. T is the next number of frames that its
    compression in time allows, cut to config.frames.

    Raises:
        UserError: the weights are missing or do not fit.
    """
    from diffusers import WanImageToVideoPipeline

    device = pick(machine.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    # The published VAE is meant to run in single precision.
    dtypes = {"": dtype, "vae": torch.float32}
    folder = fetch("wan2.2-ti2v-5b", machine.weights)
    pipeline = diffusion.load(WanImageToVideoPipeline, folder, device, dtypes)
    if machine.low_memory:
        pipeline.vae.enable_tiling()
    patch = pipeline.vae_scale_factor_spatial * pipeline.transformer.config.patch_size[1]
    side = max(len(cut_out) // patch, 1) * patch
    steps = config.steps or WAN_STEPS
    every = pipeline.vae_scale_factor_temporal

    def run(after_step: Callable[..., dict]) -> Any:
        return pipeline(
            image=_on_white(cut_out, side), prompt=f"{config.prompt or MOTION} {AROUND}",
            negative_prompt=AGAINST, height=side, width=side,
            num_frames=-(-(config.frames - 1) // every) * every + 1, num_inference_steps=steps,
            guidance_scale=WAN_GUIDANCE, generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np", callback_on_step_end=after_step,
        ).frames[0]  # fmt: skip

    frames = yield from diffusion.stepwise(run, Event("animate", 0, steps, f"seed {seed}"))
    return _bytes(frames)[: config.frames]


def svd(
    cut_out: np.ndarray,  # [S, S, 4] uint8
    seed: int,
    config: AnimateConfig,
    machine: MachineConfig,
) -> Stage[np.ndarray]:
    """Frames [T, S', S', 3] uint8 by Stable Video Diffusion XT, which takes no words.

    T is at most SVD_FRAMES. Raises UserError as `wan` does.
    """
    from diffusers import StableVideoDiffusionPipeline

    device = pick(machine.device)
    folder: Path = fetch("svd-xt", machine.weights)
    pipeline = diffusion.load(
        StableVideoDiffusionPipeline, folder, device, {"": network_dtype(device)}, variant="fp16"
    )
    side = max(len(cut_out) // 64, 1) * 64
    steps = config.steps or SVD_STEPS

    def run(after_step: Callable[..., dict]) -> Any:
        return pipeline(
            image=_on_white(cut_out, side), height=side, width=side,
            num_frames=min(config.frames, SVD_FRAMES), num_inference_steps=steps, fps=SVD_FPS,
            motion_bucket_id=SVD_MOTION, noise_aug_strength=SVD_NOISE,
            decode_chunk_size=2 if machine.low_memory else 8,
            generator=torch.Generator("cpu").manual_seed(seed), output_type="np",
            callback_on_step_end=after_step,
        ).frames[0]  # fmt: skip

    frames = yield from diffusion.stepwise(run, Event("animate", 0, steps, f"seed {seed}"))
    return _bytes(frames)


def _on_white(cut_out: np.ndarray, side: int):
    """The picture that a network sees, as a Pillow image."""
    from PIL import Image

    return Image.fromarray(over(cut_out)).resize((side, side), Image.Resampling.LANCZOS)


def _bytes(frames: np.ndarray) -> np.ndarray:
    return (np.asarray(frames).clip(0, 1) * 255 + 0.5).astype(np.uint8)
