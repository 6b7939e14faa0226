"""What the denoiser is told about the frames: latents of the picture, and prompt embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from .load import Encoders
from .preprocessing import over_plain


@dataclass(frozen=True)
class Noise:
    """Everything that is drawn at random for a frame; the same for every frame of a clip."""

    frame: Tensor  # [1, 4, h, w], of the VAE's sample of the frame
    grey: Tensor | None  # [1, 4, h, w], of its sample of a grey picture; None without guidance
    start: Tensor  # [1, 4, H, W], the first latents, standard deviation 1
    references: list[Tensor]  # of each step [2 (grey, frame) or 1 (frame), 4, h, w]
    ancestral: list[Tensor]  # of each step [1, 4, H, W]


@dataclass(frozen=True)
class Condition:
    """What B frames look like, and what guidance steers away from: a grey picture, no words.

    Without guidance, `grey` and `plain` are empty.
    """

    frames: Tensor  # [B, 4, h, w] latents; not scaled, as the UNet was trained
    prompts: Tensor  # [B, L, D]
    grey: Tensor  # [1 or 0, 4, h, w]
    plain: Tensor  # [1 or 0, L, D]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, rows: slice) -> Condition:
        return Condition(self.frames[rows], self.prompts[rows], self.grey, self.plain)


def draw_noise(
    seed: int, steps: int, inner: tuple[int, int], grid: tuple[int, int], guided: bool
) -> Noise:
    """Draw on the CPU, so that every device draws the same.

    Args:
        inner: height and width of the frame's latents.
        grid: height and width of the latents of the grid of views.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(count: int, size: tuple[int, int]) -> Tensor:
        return torch.randn(count, 4, *size, generator=generator)

    frame, grey, start = draw(1, inner), draw(1, inner), draw(1, grid)
    references = [draw(1 + guided, inner) for _ in range(steps)]
    ancestral = [draw(1, grid) for _ in range(steps)]
    return Noise(frame, grey if guided else None, start, references, ancestral)


@torch.inference_mode()
def text_embedding(encoders: Encoders, prompt: str = "") -> Tensor:
    """A prompt's tokens after the text encoder's last norm, [1, L, D]; no mask: pads count."""
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
def image_embedding(encoders: Encoders, pixels: Tensor) -> Tensor:
    """CLIP's projected embeddings [B, D] of pictures [B, 3, h, w]."""
    vision = encoders.vision
    return vision(pixels.to(vision.device, vision.dtype)).image_embeds


def ramped(text: Tensor, images: Tensor, ramp: Tensor) -> Tensor:
    """Prompts [B, L, D]: text [1, L, D] and, the more the later the token, images [B, D]."""
    return text + images[:, None] * ramp.to(images.dtype)[:, None]


@torch.inference_mode()
def moments(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Mean and log variance of the latents, [B, 8, h, w], of pictures [B, 3, 8 h, 8 w]."""
    return vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.parameters


def sample(moments: Tensor, noise: Tensor) -> Tensor:
    """Latents [B, 4, h, w] from moments and standard normal noise [1, 4, h, w]."""
    mean, log_variance = moments.chunk(2, dim=1)
    deviation = (log_variance.clamp(-30, 20) / 2).exp()
    return mean + deviation * noise.to(mean)


def describe(
    frame: np.ndarray,  # [S, S, 4] uint8
    encoders: Encoders,
    vae: AutoencoderKL,
    noise: Noise,
    text: Tensor,  # [1, L, D], the prompt "" (text_embedding)
    background: int,
) -> Condition:
    """The condition of one frame.

    The frame goes in as it is: a square with the object in its middle four fifths. The published
    demo rescales objects to three quarters of the picture, InstantMesh to 0.85.
    """
    image = over_plain(frame, background)
    pixels = encoders.vae_pixels(image)[None]
    latents = sample(moments(vae, pixels), noise.frame)
    embedding = image_embedding(encoders, encoders.clip_pixels(image)[None])
    prompts = ramped(text, embedding, encoders.ramp)
    if noise.grey is None:
        return Condition(latents, prompts, latents[:0], text[:0])
    grey = sample(moments(vae, torch.zeros_like(pixels)), noise.grey)
    return Condition(latents, prompts, grey, text)


def together(conditions: list[Condition]) -> Condition:
    """The conditions of several frames as one; what guidance steers away from is all the same."""
    return Condition(
        torch.cat([condition.frames for condition in conditions]),
        torch.cat([condition.prompts for condition in conditions]),
        conditions[0].grey,
        conditions[0].plain,
    )
