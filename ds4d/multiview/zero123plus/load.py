"""Zero123++'s networks from a folder in the published layout: configurations, then weights.

Every key and shape of a checkpoint has to match, so that no layer keeps random weights unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from ...errors import UserError
from ...weights import fill, modern, read_json, read_state
from .preprocessing import Pixels


@dataclass(frozen=True)
class Encoders:
    """What turns a frame and a prompt into conditions, beside the VAE."""

    tokenizer: CLIPTokenizer
    text: CLIPTextModel
    vision: CLIPVisionModelWithProjection
    vae_pixels: Pixels
    clip_pixels: Pixels
    ramp: Tensor  # [L], how much of the image's embedding is added to each text token


@dataclass(frozen=True)
class Schedule:
    """The noise levels of a run."""

    timesteps: Tensor  # [steps], falling, as the UNet is told them
    sigmas: Tensor  # [steps + 1], noise per unit of signal; the last one is 0
    start: float  # standard deviation of the first latents


def load_encoders(folder: Path, device: torch.device, dtype: torch.dtype) -> Encoders:
    """Tokenizer, CLIP text and vision encoders, and the sizes of the pictures that they take.

    Raises:
        UserError: a file is missing, damaged, or does not fit.
    """
    ramp = read_json(folder / "model_index.json").get("ramping_coefficients")
    if not ramp:
        raise UserError(
            f"{folder / 'model_index.json'} has no ramping_coefficients.",
            "It belongs to another pipeline than Zero123++.",
        )
    text_config = CLIPTextConfig.from_dict(read_json(folder / "text_encoder" / "config.json"))
    text = build(lambda: CLIPTextModel(text_config), dtype)
    _fill_clip(text, folder / "text_encoder")
    vision_config = CLIPVisionConfig.from_dict(read_json(folder / "vision_encoder" / "config.json"))
    vision = build(lambda: CLIPVisionModelWithProjection(vision_config), dtype)
    _fill_clip(vision, folder / "vision_encoder")
    return Encoders(
        load_tokenizer(folder / "tokenizer"),
        text.to(device),
        vision.to(device),
        Pixels.read(folder / "feature_extractor_vae"),
        Pixels.read(folder / "feature_extractor_clip"),
        torch.tensor(ramp, device=device),
    )


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"The tokenizer in {folder} cannot be read.", "Delete the folder and download it again."
        ) from error


def load_vae(folder: Path, device: torch.device, dtype: torch.dtype) -> AutoencoderKL:
    """The autoencoder between pictures and latents; `folder` is the repository's vae folder."""
    vae = build(lambda: AutoencoderKL.from_config(read_json(folder / "config.json")), dtype)
    file = checkpoint(folder, "diffusion_pytorch_model")
    fill(vae, modern(read_state(file)), file)
    return vae.to(device)


def load_unet(
    folder: Path, device: torch.device, dtype: torch.dtype, weights: Path | None = None
) -> UNet2DConditionModel:
    """The denoiser; `folder` is the repository's unet folder.

    Args:
        weights: other weights for the same configuration (InstantMesh's, which draw on white).
    """
    unet = build(lambda: UNet2DConditionModel.from_config(read_json(folder / "config.json")), dtype)
    file = weights or checkpoint(folder, "diffusion_pytorch_model")
    fill(unet, read_state(file), file)
    return unet.to(device)


def load_schedule(folder: Path, steps: int) -> Schedule:
    """The noise levels in the published scheduler's betas, spaced "trailing" as its users do."""
    file = folder / "scheduler_config.json"
    scheduler = EulerAncestralDiscreteScheduler.from_config(
        read_json(file), timestep_spacing="trailing"
    )
    if scheduler.config.prediction_type != "v_prediction":
        raise UserError(
            f"{file} asks for {scheduler.config.prediction_type}.", "Zero123++ predicts velocities."
        )
    scheduler.set_timesteps(steps)
    return Schedule(scheduler.timesteps, scheduler.sigmas, float(scheduler.init_noise_sigma))


def build(make: Callable[[], nn.Module], dtype: torch.dtype) -> nn.Module:
    """A network on the CPU whose weights are not yet set: random ones would take long to draw."""
    with torch.device("meta"):
        network = make()
    # Not diffusers' own `to`, which warns of precautions that these networks do not need.
    network = nn.Module.to(network, dtype).to_empty(device="cpu").eval().requires_grad_(False)
    for name, buffer in network.named_buffers():
        if not name.endswith("position_ids"):  # those are all that CLIP has, and only CLIP
            raise ValueError(f"{type(network).__name__} has a buffer {name} that nobody fills")
        buffer.copy_(torch.arange(buffer.shape[-1]))
    return network


def checkpoint(folder: Path, stem: str, old_stem: str | None = None) -> Path:
    """The checkpoint in a folder: safetensors, else a pickle, which may be named otherwise."""
    pickle = folder / f"{old_stem or stem}.bin"
    return pickle if pickle.exists() else folder / f"{stem}.safetensors"


def _fill_clip(network: nn.Module, folder: Path) -> None:
    """Older files call the text model text_model."""
    file = checkpoint(folder, "model", "pytorch_model")
    state = modern(read_state(file))
    if not any(key.startswith("text_model.") for key in network.state_dict()):
        state = {key.removeprefix("text_model."): value for key, value in state.items()}
    fill(network, state, file)
