"""Denoising of the grid of six views with reference attention, and its decoding.

One of diffusers' schedulers steps; random numbers are drawn in the order of the published pipeline,
from one generator per frame.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from .attention import ReferenceState
from .conditioning import Condition
from .load import Scheduler


def denoise(
    unet: UNet2DConditionModel,
    reference: ReferenceState,  # of that UNet (attention.install_reference_attention)
    scheduler: Scheduler,
    condition: Condition,  # of B frames
    generators: list[torch.Generator],  # B, on the CPU
    size: tuple[int, int],  # height and width of the grid's latents
    steps: int,
    guidance: float,
) -> Generator[int, None, Tensor]:
    """Denoise B grids of views; yields the number of finished steps.

    Frames whose generators are in the same state meet the same noise.

    Returns:
        Latents [B, 4, H, W] float32.
    """
    scheduler.set_timesteps(steps)
    shape = (len(condition), 4, *size)
    latents = randn_tensor(shape, generators, unet.device) * scheduler.init_noise_sigma
    for step, timestep in enumerate(scheduler.timesteps):
        latents = denoise_step(
            unet, reference, scheduler, condition, generators, guidance, latents, timestep
        )
        yield step + 1
    return latents


@torch.inference_mode()
def denoise_step(
    unet: UNet2DConditionModel,
    reference: ReferenceState,
    scheduler: Scheduler,  # at this timestep
    condition: Condition,
    generators: list[torch.Generator],
    guidance: float,
    latents: Tensor,  # [B, 4, H, W] float32
    timestep: Tensor,  # scalar
) -> Tensor:
    """One step of `denoise`: the latents after it, [B, 4, H, W]."""
    noisy = noisy_references(scheduler, condition, generators, timestep)
    output = predict(unet, reference, scheduler, condition, noisy, latents, timestep)
    velocity = guide(output.float(), guidance, condition.guided)
    adds_noise = isinstance(scheduler, EulerAncestralDiscreteScheduler)
    noise = {"generator": generators} if adds_noise else {}
    return scheduler.step(velocity, timestep, latents, **noise).prev_sample


def noisy_references(
    scheduler: Scheduler,
    condition: Condition,
    generators: list[torch.Generator],
    timestep: Tensor,  # scalar
) -> Tensor:
    """The condition's latents as the writing pass takes them, noised and scaled.

    Returns:
        [1 + B or B, 4, h, w] float32; the negative condition is first and meets the first frame's
        noise for it.
    """
    clean = torch.cat([condition.negative_latents, condition.latents]).float()
    shape = (1 + condition.guided, *clean.shape[1:])
    noise = torch.stack([randn_tensor(shape, g, clean.device) for g in generators])
    noise = torch.cat([noise[0, :-1], noise[:, -1]])
    noisy = scheduler.add_noise(clean, noise, timestep.expand(len(clean)))
    return scheduler.scale_model_input(noisy, timestep)


def predict(
    unet: UNet2DConditionModel,
    reference: ReferenceState,
    scheduler: Scheduler,
    condition: Condition,
    references: Tensor,  # [1 + B or B, 4, h, w]
    latents: Tensor,  # [B, 4, H, W]
    timestep: Tensor,  # scalar
) -> Tensor:
    """The UNet's velocities [2 B or B, 4, H, W]: of the negative condition first."""
    negative = condition.negative_prompt_embeds
    reference.writing = True
    prompt_embeds = torch.cat([negative, condition.prompt_embeds])
    unet(references.to(unet.dtype), timestep, prompt_embeds)
    reference.writing = False
    negative = negative.expand(len(condition) * len(negative), -1, -1)
    prompt_embeds = torch.cat([negative, condition.prompt_embeds])
    grid = scheduler.scale_model_input(latents, timestep).to(unet.dtype)
    return unet(torch.cat([grid] * (1 + condition.guided)), timestep, prompt_embeds).sample


def guide(output: Tensor, guidance: float, guided: bool) -> Tensor:
    """Classifier-free guidance: velocities [B, ...] from the negative and positive [2 B, ...]."""
    if not guided:
        return output
    negative, positive = output.chunk(2)
    return negative + guidance * (positive - negative)


def unscale(latents: Tensor, vae: AutoencoderKL) -> Tensor:
    """Latents of the grid as the VAE decodes them: Zero123++ shifts and scales its own."""
    return (latents / 0.75 + 0.22) / vae.config.scaling_factor


@torch.inference_mode()
def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Latents [1, 4, H, W] as an image [1, 3, 8 H, 8 W] float32 in about [-1, 1]."""
    decoded = vae.decode(unscale(latents, vae).to(vae.device, vae.dtype)).sample
    return decoded.float() / 0.5 * 0.8


def to_uint8(image: Tensor) -> np.ndarray:
    """An image [1, 3, H, W] in [-1, 1] as [H, W, 3] uint8."""
    levels = (image[0] / 2 + 0.5).clamp(0, 1) * 255
    return levels.round().byte().permute(1, 2, 0).cpu().numpy()
