"""Denoising the grid of six views, and decoding it."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from .attention import Exchange
from .conditioning import Condition, Noise
from .load import Schedule


def denoise(
    unet: UNet2DConditionModel,
    exchange: Exchange,  # of that UNet (attention.install)
    schedule: Schedule,
    condition: Condition,  # of B frames
    noise: Noise,
    guidance: float,
) -> Generator[int, None, Tensor]:
    """From noise to latents [B, 4, H, W] float32; yields the number of finished steps.

    Ancestral Euler steps over velocities, with classifier-free guidance where the condition says
    what to steer away from. Every frame starts from the same noise and meets the same noise.
    """
    device = unet.device
    latents = (noise.start * schedule.start).expand(len(condition), -1, -1, -1).to(device)
    for step in range(len(schedule.timesteps)):
        latents = denoise_step(unet, exchange, schedule, condition, noise, guidance, latents, step)
        yield step + 1
    return latents


@torch.inference_mode()
def denoise_step(
    unet: UNet2DConditionModel,
    exchange: Exchange,
    schedule: Schedule,
    condition: Condition,
    noise: Noise,
    guidance: float,
    latents: Tensor,  # [B, 4, H, W] float32
    step: int,
) -> Tensor:
    """One step of `denoise`: the latents after it, [B, 4, H, W]."""
    sigma, following = float(schedule.sigmas[step]), float(schedule.sigmas[step + 1])
    timestep = schedule.timesteps[step].to(latents.device)
    references = noisy_references(condition, noise.references[step], sigma)
    raw = predict(unet, exchange, condition, references, latents, sigma, timestep)
    velocity = guided(raw.float(), guidance, len(condition.grey) > 0)
    return ancestral_step(latents, velocity, sigma, following, noise.ancestral[step].to(latents))


def noisy_references(condition: Condition, noise: Tensor, sigma: float) -> Tensor:
    """What the writing pass sees, [1 + B or B, 4, h, w]: noised latents, grey first, scaled.

    `noise` [2 or 1, 4, h, w] holds the grey picture's and the frames', which all share it.
    """
    clean = torch.cat([condition.grey, condition.frames]).float()
    noise = noise.to(clean)
    shared = torch.cat([noise[:-1], noise[-1:].expand(len(condition), -1, -1, -1)])
    return scaled(clean + shared * sigma, sigma)


def predict(
    unet: UNet2DConditionModel,
    exchange: Exchange,
    condition: Condition,
    references: Tensor,  # [1 + B or B, 4, h, w]
    latents: Tensor,  # [B, 4, H, W]
    sigma: float,
    timestep: Tensor,  # scalar
) -> Tensor:
    """The UNet's velocities [2 B or B, 4, H, W]: without the condition first, then with it."""
    count, plain = len(condition), condition.plain
    exchange.writing = True
    prompts = torch.cat([plain, condition.prompts])
    unet(references.to(unet.dtype), timestep, prompts)
    exchange.writing = False
    prompts = torch.cat([plain.expand(count * len(plain), -1, -1), condition.prompts])
    grid = scaled(latents, sigma).to(unet.dtype)
    return unet(torch.cat([grid] * (1 + len(plain))), timestep, prompts).sample


def scaled(latents: Tensor, sigma: float) -> Tensor:
    """Noised latents as the UNet takes them: of standard deviation one or so."""
    return latents / (sigma**2 + 1) ** 0.5


def guided(raw: Tensor, guidance: float, steered: bool) -> Tensor:
    """Velocities [B, ...] from those without and with the condition, [2 B, ...]."""
    if not steered:
        return raw
    without, given = raw.chunk(2)
    return without + guidance * (given - without)


def ancestral_step(
    latents: Tensor, velocity: Tensor, sigma: float, following: float, noise: Tensor
) -> Tensor:
    """From noise level `sigma` to `following`: an Euler step too far down, then noise again."""
    clean = latents / (sigma**2 + 1) - velocity * (sigma / (sigma**2 + 1) ** 0.5)
    slope = (latents - clean) / sigma
    up = (following**2 * (sigma**2 - following**2) / sigma**2) ** 0.5
    down = (following**2 - up**2) ** 0.5
    return latents + slope * (down - sigma) + noise * up


def unscaled(latents: Tensor, vae: AutoencoderKL) -> Tensor:
    """Latents of the grid as the VAE decodes them: Zero123++ shifts and scales its own."""
    return (latents / 0.75 + 0.22) / vae.config.scaling_factor


@torch.inference_mode()
def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Latents [1, 4, H, W] as a picture [1, 3, 8 H, 8 W] float32 in about [-1, 1]."""
    decoded = vae.decode(unscaled(latents, vae).to(vae.device, vae.dtype)).sample
    return decoded.float() / 0.5 * 0.8


def to_uint8(image: Tensor) -> np.ndarray:
    """A picture [1, 3, H, W] in [-1, 1] as [H, W, 3] uint8."""
    levels = (image[0] / 2 + 0.5).clamp(0, 1) * 255
    return levels.round().byte().permute(1, 2, 0).cpu().numpy()
