"""Conditions of Zero123++'s denoiser: latents of a frame, and prompt embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from .load import Encoders
from .preprocessing import over_background


@dataclass(frozen=True)
class Condition:
    """Conditions of B frames, and the negative ones that classifier-free guidance steers away from.

    The negative condition is a grey image and an empty prompt, the same for all frames. Without
    guidance its tensors are empty.
    """

    latents: Tensor  # [B, 4, h, w] of the frames; not scaled, as the UNet was trained
    prompt_embeds: Tensor  # [B, L, D]
    negative_latents: Tensor  # [1 or 0, 4, h, w]
    negative_prompt_embeds: Tensor  # [1 or 0, L, D]

    @property
    def guided(self) -> bool:
        """True if there is a negative condition."""
        return len(self.negative_latents) > 0

    def __len__(self) -> int:
        return len(self.latents)

    @staticmethod
    def concatenate(conditions: list[Condition]) -> Condition:
        """The conditions of several frames as one."""
        return Condition(
            torch.cat([condition.latents for condition in conditions]),
            torch.cat([condition.prompt_embeds for condition in conditions]),
            conditions[0].negative_latents,
            conditions[0].negative_prompt_embeds,
        )


@torch.inference_mode()
def encode_prompt(encoders: Encoders, prompt: str = "") -> Tensor:
    """Hidden states [1, L, D] of a prompt after the text encoder's last norm; no padding mask."""
    tokenizer = encoders.tokenizer
    ids = tokenizer(
        prompt,
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return encoders.text(ids.to(encoders.text.device)).last_hidden_state


@torch.inference_mode()
def encode_image(encoders: Encoders, pixel_values: Tensor) -> Tensor:
    """CLIP's projected embeddings [B, D] of preprocessed images [B, 3, h, w]."""
    vision = encoders.vision
    return vision(pixel_values.to(vision.device, vision.dtype)).image_embeds


def add_image_embeds(prompt_embeds: Tensor, image_embeds: Tensor, ramp: Tensor) -> Tensor:
    """Prompt embeddings [B, L, D]: text [1, L, D] plus images [B, D] by the ramp's weights [L].

    The ramp rises with the token: later tokens carry more of the image (the "global condition" of
    Zero123++).
    """
    return prompt_embeds + image_embeds[:, None] * ramp.to(image_embeds.dtype)[:, None]


@torch.inference_mode()
def latent_distribution(vae: AutoencoderKL, pixel_values: Tensor) -> DiagonalGaussianDistribution:
    """The VAE's posterior over latents [B, 4, h, w] of images [B, 3, 8 h, 8 w].

    In float32 whatever the VAE computes in, so that a seed samples the same on every device.
    """
    posterior = vae.encode(pixel_values.to(vae.device, vae.dtype)).latent_dist
    return DiagonalGaussianDistribution(posterior.parameters.float())


def encode_frame(
    frame: np.ndarray,  # [S, S, 4] uint8
    encoders: Encoders,
    vae: AutoencoderKL,
    prompt_embeds: Tensor,  # [1, L, D] of the empty prompt (encode_prompt)
    background: int,  # grey level
    generator: torch.Generator,  # on the CPU
    guided: bool,
) -> Condition:
    """The condition of one frame.

    The frame goes in as it is: a square with the object in its middle four fifths. The published
    demo rescales objects to three quarters of the image, InstantMesh to 0.85.
    """
    image = over_background(frame, background)
    pixel_values = encoders.vae_processor(image, return_tensors="pt").pixel_values
    latents = latent_distribution(vae, pixel_values).sample(generator)
    clip_pixel_values = encoders.clip_processor(image, return_tensors="pt").pixel_values
    image_embeds = encode_image(encoders, clip_pixel_values)
    conditional = add_image_embeds(prompt_embeds, image_embeds, encoders.ramp)
    if not guided:
        return Condition(latents, conditional, latents[:0], prompt_embeds[:0])
    grey = latent_distribution(vae, torch.zeros_like(pixel_values)).sample(generator)
    return Condition(latents, conditional, grey, prompt_embeds)
