"""Video networks: Wan 2.2 and Stable Video Diffusion make frames from a picture over white."""

from __future__ import annotations

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
SVD_PIXELS = 64  # its sides are multiples of this


def wan(
    cut_out: np.ndarray,  # [S, S, 4] uint8
    config: AnimateConfig,
    machine: MachineConfig,
) -> Stage[np.ndarray]:
    """Frames [T, S', S', 3] uint8 by Wan 2.2 TI2V 5B, which follows words, of the first seed.

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
    every = pipeline.vae_scale_factor_temporal
    frames = yield from _filmed(
        pipeline, cut_out, config,
        multiple=pipeline.vae_scale_factor_spatial * pipeline.transformer.config.patch_size[1],
        steps=WAN_STEPS, prompt=f"{config.prompt or MOTION} {AROUND}", negative_prompt=AGAINST,
        num_frames=-(-(config.frames - 1) // every) * every + 1, guidance_scale=WAN_GUIDANCE,
    )  # fmt: skip
    return frames[: config.frames]


def svd(
    cut_out: np.ndarray,  # [S, S, 4] uint8
    config: AnimateConfig,
    machine: MachineConfig,
) -> Stage[np.ndarray]:
    """Frames [T, S', S', 3] uint8 by Stable Video Diffusion XT, which takes no words.

    T is at most SVD_FRAMES. Raises UserError as `wan` does.
    """
    from diffusers import StableVideoDiffusionPipeline

    device = pick(machine.device)
    folder = fetch("svd-xt", machine.weights)
    pipeline = diffusion.load(
        StableVideoDiffusionPipeline, folder, device, {"": network_dtype(device)}, variant="fp16"
    )
    return (yield from _filmed(
        pipeline, cut_out, config, multiple=SVD_PIXELS, steps=SVD_STEPS,
        num_frames=min(config.frames, SVD_FRAMES), fps=SVD_FPS, motion_bucket_id=SVD_MOTION,
        noise_aug_strength=SVD_NOISE, decode_chunk_size=2 if machine.low_memory else 8,
    ))  # fmt: skip


def _filmed(
    pipeline: Any,  # of diffusers, from an image to frames
    cut_out: np.ndarray,
    config: AnimateConfig,
    multiple: int,  # of pixels, for the sides
    steps: int,  # where the config has none
    **options: Any,  # of the pipeline
) -> Stage[np.ndarray]:
    """Frames [T, S', S', 3] uint8 of the object over white, with an event per denoising step."""
    from PIL import Image

    side = max(len(cut_out) // multiple, 1) * multiple
    image = Image.fromarray(over(cut_out)).resize((side, side), Image.Resampling.LANCZOS)
    steps, (seed, *_) = config.steps or steps, config.seeds

    def run(after_step: diffusion.AfterStep) -> Any:
        return pipeline(
            image=image, height=side, width=side, num_inference_steps=steps,
            generator=torch.Generator("cpu").manual_seed(seed), output_type="np",
            callback_on_step_end=after_step, **options,
        ).frames[0]  # fmt: skip

    frames = yield from diffusion.stepwise(run, Event("animate", 0, steps, f"seed {seed}"))
    return diffusion.as_bytes(frames)
