"""Loading of Zero123++'s networks from a folder in the published layout.

Every key and shape of a checkpoint has to match, so that no layer keeps random weights unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from ...errors import UserError
from ...weights import fill, read_json, read_state, rename_old_keys
from .preprocessing import load_image_processor

Scheduler = EulerAncestralDiscreteScheduler | UniPCMultistepScheduler
SOLVERS = {"euler": EulerAncestralDiscreteScheduler, "unipc": UniPCMultistepScheduler}


@dataclass(frozen=True)
class Encoders:
    """Networks and preprocessing that encode a frame and a prompt, beside the VAE."""

    tokenizer: CLIPTokenizer
    text: CLIPTextModel
    vision: CLIPVisionModelWithProjection
    vae_processor: CLIPImageProcessorPil
    clip_processor: CLIPImageProcessorPil
    ramp: Tensor  # [L], weight of the image's embedding in each text token


def load_encoders(folder: Path, device: torch.device, dtype: torch.dtype) -> Encoders:
    """Tokenizer, CLIP text and vision encoders, and their image preprocessing.

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
        load_image_processor(folder / "feature_extractor_vae"),
        load_image_processor(folder / "feature_extractor_clip"),
        torch.tensor(ramp, device=device),
    )


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's tokenizer; UserError for a folder that holds none."""
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"The tokenizer in {folder} cannot be read.", "Delete the folder and download it again."
        ) from error


def load_vae(folder: Path, device: torch.device, dtype: torch.dtype) -> AutoencoderKL:
    """The autoencoder between images and latents; `folder` is the repository's vae folder."""
    vae = build(lambda: AutoencoderKL.from_config(read_json(folder / "config.json")), dtype)
    file = checkpoint(folder, "diffusion_pytorch_model")
    fill(vae, rename_old_keys(read_state(file)), file)
    return vae.to(device)


def load_unet(
    folder: Path, device: torch.device, dtype: torch.dtype, weights: Path | None = None
) -> UNet2DConditionModel:
    """The denoiser; `folder` is the repository's unet folder.

    Args:
        weights: another checkpoint of the same configuration (InstantMesh's white background).
    """
    unet = build(lambda: UNet2DConditionModel.from_config(read_json(folder / "config.json")), dtype)
    file = weights or checkpoint(folder, "diffusion_pytorch_model")
    fill(unet, read_state(file), file)
    return unet.to(device)


def load_scheduler(folder: Path, solver: str = "euler") -> Scheduler:
    """The published scheduler with timesteps spaced "trailing", as its users set it.

    Args:
        solver: "euler" adds noise in every step (Karras et al. 2022), as published; "unipc" solves
            the same noise schedule's equation without any (Zhao et al. 2023).

    Raises:
        UserError: the file is missing or damaged, or describes another scheduler.
    """
    file = folder / "scheduler_config.json"
    settings = {k: v for k, v in read_json(file).items() if not k.startswith("_")}
    scheduler = SOLVERS[solver].from_config(settings, timestep_spacing="trailing")
    if scheduler.config.prediction_type != "v_prediction":
        raise UserError(
            f"{file} asks for {scheduler.config.prediction_type}.", "Zero123++ predicts velocities."
        )
    return scheduler


def build(make: Callable[[], nn.Module], dtype: torch.dtype) -> nn.Module:
    """A network on the CPU without values in its weights: random ones would take long to draw."""
    with torch.device("meta"):
        network = make()
    # Not diffusers' own `to`, which warns about layers that these networks do not have.
    network = nn.Module.to(network, dtype).to_empty(device="cpu").eval().requires_grad_(False)
    for name, buffer in network.named_buffers():
        if not name.endswith("position_ids"):  # those are all that CLIP has, and only CLIP
            raise ValueError(f"{type(network).__name__} has a buffer {name} without a value")
        buffer.copy_(torch.arange(buffer.shape[-1]))
    return network


def checkpoint(folder: Path, stem: str, old_stem: str | None = None) -> Path:
    """The checkpoint in a folder: a pickle, named old_stem or stem, else safetensors."""
    pickle = folder / f"{old_stem or stem}.bin"
    return pickle if pickle.exists() else folder / f"{stem}.safetensors"


def _fill_clip(network: nn.Module, folder: Path) -> None:
    """Fill a CLIP model; keys of the text model may begin with text_model, as in older files."""
    file = checkpoint(folder, "model", "pytorch_model")
    state = rename_old_keys(read_state(file))
    if not any(key.startswith("text_model.") for key in network.state_dict()):
        state = {key.removeprefix("text_model."): value for key, value in state.items()}
    fill(network, state, file)
