"""Zero123's networks, loaded from the published layout of diffusers' pipelines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..run.device import network_dtype
from ..weights import fill, read_json, read_state, rename_old_keys

if TYPE_CHECKING:
    from transformers import CLIPImageProcessorPil

CONFIGS = {
    "vae": "vae/config.json",
    "unet": "unet/config.json",
    "image_encoder": "image_encoder/config.json",
    "clip_camera_projection": "clip_camera_projection/config.json",
    "scheduler": "scheduler/scheduler_config.json",
    "feature_extractor": "feature_extractor/preprocessor_config.json",
}
WEIGHTS = {
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "image_encoder": "image_encoder/model.safetensors",
    "clip_camera_projection": "clip_camera_projection/diffusion_pytorch_model.safetensors",
}
# Settings that the formulas rely on.
REQUIRED = {
    "vae": {"in_channels": 3, "latent_channels": 4},
    "unet": {"in_channels": 8, "out_channels": 4},
    "clip_camera_projection": {"additional_embeddings": 4},
    "scheduler": {"prediction_type": "epsilon"},
}
SIZE = 256  # pixels of Zero123's images; its latents are 32 x 32


class CameraProjection(nn.Module):
    """Projection of CLIP's image embedding and the relative camera to one token."""

    def __init__(self, embedding_dim: int, additional_embeddings: int):
        super().__init__()
        self.proj = nn.Linear(embedding_dim + additional_embeddings, embedding_dim)

    def forward(self, embedding: Tensor) -> Tensor:  # [..., D + 4] -> [..., D]
        return self.proj(embedding)


@dataclass(frozen=True)
class Networks:
    """Zero123's frozen networks on one device."""

    vae: nn.Module
    unet: nn.Module
    image_encoder: nn.Module  # CLIP's image tower with its projection
    clip_camera_projection: CameraProjection
    alphas: Tensor  # [1000] float32, cumulative products of the noise schedule
    feature_extractor: CLIPImageProcessorPil  # CLIP's preprocessing

    @property
    def device(self) -> torch.device:
        return self.alphas.device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.unet.parameters()).dtype

    def encode(
        self,
        images: Tensor,  # [B, 3, 256, 256] in [0, 1], with or without gradient
        noise: Tensor,  # [B, 4, 32, 32] standard normal
    ) -> Tensor:  # [B, 4, 32, 32]
        """Sample the VAE's latents, scaled as the UNet denoises them."""
        posterior = self.vae.encode((2 * images - 1).to(self.dtype)).latent_dist
        sample = posterior.mean + posterior.std * noise.to(self.device, self.dtype)
        return sample * self.vae.config.scaling_factor

    @torch.no_grad()
    def embed(
        self,
        images: Tensor,  # [B, 3, H, W] in [0, 1]
        noise: Tensor,  # [B, 4, 32, 32] standard normal
    ) -> tuple[Tensor, Tensor]:
        """Encode reference images, as conditions of the UNet.

        Returns:
            CLIP's embeddings [B, D], and latents [B, 4, 32, 32] that are *not* scaled.
        """
        images = resize(images.to(self.device))
        pixel_values = clip_pixel_values(images, self.feature_extractor)
        pixel_values = pixel_values.to(self.device, self.dtype)
        embeddings = self.image_encoder(pixel_values).image_embeds
        return embeddings, self.encode(images, noise) / self.vae.config.scaling_factor

    def denoise(
        self,
        noisy: Tensor,  # [B, 4, 32, 32]
        t: Tensor,  # [B] timesteps
        tokens: Tensor,  # [B, 1, D]
        latents: Tensor,  # [B, 4, 32, 32] of the reference images, not scaled
        guidance: float,  # 1 = none
    ) -> Tensor:  # [B, 4, 32, 32] float32
        """Predict the noise, with classifier-free guidance.

        The unconditional half has zeros for both the token and the reference latents.
        """
        tokens = torch.cat([tokens, torch.zeros_like(tokens)])
        latents = torch.cat([latents, torch.zeros_like(latents)])
        sample = torch.cat([torch.cat([noisy, noisy]), latents], dim=1)
        predicted = self.unet(
            sample.to(self.dtype),
            torch.cat([t, t]).to(self.dtype),
            encoder_hidden_states=tokens.to(self.dtype),
        ).sample
        conditional, unconditional = predicted.float().chunk(2)
        return unconditional + guidance * (conditional - unconditional)


def resize(images: Tensor) -> Tensor:
    """Images [B, 3, H, W] at Zero123's size, [B, 3, 256, 256]."""
    return F.interpolate(images, (SIZE, SIZE), mode="bilinear", align_corners=False)


def clip_pixel_values(
    images: Tensor,  # [B, 3, S, S] in [0, 1]
    processor: CLIPImageProcessorPil,
) -> Tensor:  # [B, 3, crop, crop], on the CPU
    """CLIP's preprocessing as it was published: on images of 8 bits."""
    images = (images * 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return processor(list(images), return_tensors="pt").pixel_values


def load(folder: Path, device: torch.device) -> Networks:
    """Load the networks of a published folder: half precision on a GPU, single on a CPU.

    Raises:
        UserError: a file is missing or damaged, or its keys, shapes or configuration do not fit.
    """
    configs = {name: read_json(folder / file) for name, file in CONFIGS.items()}
    for name, required in REQUIRED.items():
        for key, value in required.items():
            if configs[name].get(key) != value:
                raise UserError(
                    f"{folder / CONFIGS[name]} says {key} = {configs[name].get(key)}, "
                    f"but Zero123 has {value}.",
                    "It is another model's folder.",
                )
    networks = build(configs, device)
    for name, file in WEIGHTS.items():
        fill(getattr(networks, name), rename_old_keys(read_state(folder / file)), folder / file)
    return networks


def build(configs: dict[str, dict], device: torch.device) -> Networks:
    """Build networks with random weights from their configurations, by the names in CONFIGS."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    projection = configs["clip_camera_projection"]
    builders = {
        "vae": lambda: AutoencoderKL.from_config(configs["vae"]),
        "unet": lambda: UNet2DConditionModel.from_config(configs["unet"]),
        "image_encoder": lambda: CLIPVisionModelWithProjection(
            CLIPVisionConfig.from_dict(configs["image_encoder"])
        ),
        "clip_camera_projection": lambda: CameraProjection(
            projection["embedding_dim"], projection["additional_embeddings"]
        ),
    }
    modules = {}
    for name, build_module in builders.items():
        with device:  # drawing random weights takes seconds on a CPU
            module = build_module().requires_grad_(False).eval()
        # Not diffusers' own `to`, which warns about layers that these networks do not have.
        modules[name] = nn.Module.to(module, network_dtype(device))
    alphas = DDIMScheduler.from_config(configs["scheduler"]).alphas_cumprod.to(device)
    processor = CLIPImageProcessorPil.from_dict(configs["feature_extractor"])
    return Networks(**modules, alphas=alphas, feature_extractor=processor)
