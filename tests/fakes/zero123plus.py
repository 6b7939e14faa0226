"""Zero123++ with random weights in the published layout; the published sizes are here, too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from ds4d.multiview.zero123plus.conditioning import Condition

# What the published configurations say, as far as sizes and behaviour go (SD 2's UNet and text
# encoder, CLIP ViT-H/14).
UNET = {
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": "0.24.0",
    "act_fn": "silu",
    "attention_head_dim": [5, 10, 20, 20],
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 1024,
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 96,
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
    "upcast_attention": False,
    "use_linear_projection": True,
}
VAE = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.24.0",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 256,
    "scaling_factor": 0.18215,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
TEXT = {
    "architectures": ["CLIPTextModel"],
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 16,
    "num_hidden_layers": 23,
    "pad_token_id": 1,
    "projection_dim": 512,
    "torch_dtype": "float16",
    "vocab_size": 49408,
}
VISION = {
    "architectures": ["CLIPVisionModelWithProjection"],
    "hidden_act": "gelu",
    "hidden_size": 1280,
    "image_size": 224,
    "intermediate_size": 5120,
    "layer_norm_eps": 1e-05,
    "model_type": "clip_vision_model",
    "num_attention_heads": 16,
    "num_hidden_layers": 32,
    "patch_size": 14,
    "projection_dim": 1024,
    "torch_dtype": "float16",
}

# Narrow, and without attention where the grid has most tokens: the real grid in a second a frame.
TINY_UNET = UNET | {
    "attention_head_dim": [1, 1, 2, 2],
    "block_out_channels": [8, 16, 32, 32],
    "cross_attention_dim": 16,
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2, "DownBlock2D"],
    "norm_num_groups": 8,
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 2, "UpBlock2D"],
}
TINY_VAE = VAE | {
    "block_out_channels": [4, 4, 8, 8], "layers_per_block": 1, "norm_num_groups": 4,
}  # fmt: skip
# Over the whole grid, the VAE's attention takes half its time: only v1.1 keeps it.
FAST_VAE = TINY_VAE | {"mid_block_add_attention": False}
_NARROW = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
TINY_TEXT = TEXT | _NARROW | {"num_attention_heads": 2, "vocab_size": 514}
TINY_VISION = VISION | _NARROW | {"num_attention_heads": 2, "projection_dim": 16}
TINY_PICTURE = 128  # side that the VAE is given, pixels; 512 in truth

SCHEDULER = {
    "_class_name": "EulerAncestralDiscreteScheduler",
    "_diffusers_version": "0.24.0",
    "beta_end": 0.012,
    "beta_schedule": "linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "linspace",
    "trained_betas": None,
}
PIXELS = {
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_processor_type": "CLIPImageProcessor",
    "rescale_factor": 0.00392156862745098,
}
CLIP_PIXELS = PIXELS | {
    "crop_size": {"height": 224, "width": 224},
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": {"shortest_edge": 224},
}
VAE_PIXELS = PIXELS | {
    "crop_size": {"height": TINY_PICTURE, "width": TINY_PICTURE},
    "image_mean": 0.5,
    "image_std": 0.8,
    "resample": 2,
    "size": {"shortest_edge": TINY_PICTURE},
}
INDEX = {
    "_class_name": "Zero123PlusPipeline",
    "_diffusers_version": "0.24.0",
    "feature_extractor_clip": ["transformers", "CLIPImageProcessor"],
    "feature_extractor_vae": ["transformers", "CLIPImageProcessor"],
    "ramping_coefficients": [token / 76 for token in range(77)],
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "vision_encoder": ["transformers", "CLIPVisionModelWithProjection"],
}


def make(folder: Path) -> None:
    """Write Zero123++ v1.2 and v1.1 and InstantMesh's UNet as their repositories hold them.

    v1.2: safetensors, the UNet in single, the rest in half precision. v1.1: pickles in half
    precision, the VAE's attention under its old names, positions among the weights, no timestep
    spacing. InstantMesh's UNet is a bare state in half precision.
    """
    new = folder / "sudo-ai" / "zero123plus-v1.2"
    networks = tiny_networks(seed=12, vae=FAST_VAE)
    write_settings(new, SCHEDULER)
    _save(new / "unet" / "diffusion_pytorch_model.safetensors", networks["unet"].state_dict())
    for name, file in (
        ("vae", "diffusion_pytorch_model"), ("text_encoder", "model"), ("vision_encoder", "model"),
    ):  # fmt: skip
        _save(new / name / f"{file}.safetensors", published(name, networks[name]), half=True)

    old = folder / "sudo-ai" / "zero123plus-v1.1"
    networks = tiny_networks(seed=11)
    write_settings(old, {k: v for k, v in SCHEDULER.items() if k != "timestep_spacing"}, TINY_VAE)
    for name, file in (
        ("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "pytorch_model"), ("vision_encoder", "pytorch_model"),
    ):  # fmt: skip
        state = published(name, networks[name], old=True)
        _save(old / name / f"{file}.bin", state, half=True)

    white = folder / "TencentARC" / "InstantMesh" / "diffusion_pytorch_model.bin"
    _save(white, tiny_networks(seed=5)["unet"].state_dict(), half=True)


def tiny_networks(seed: int, vae: dict = TINY_VAE) -> dict[str, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = {
            "unet": UNet2DConditionModel.from_config(TINY_UNET),
            "vae": AutoencoderKL.from_config(vae),
            "text_encoder": CLIPTextModel(CLIPTextConfig.from_dict(TINY_TEXT)),
            "vision_encoder": CLIPVisionModelWithProjection(
                CLIPVisionConfig.from_dict(TINY_VISION)
            ),
        }
    return {name: network.float() for name, network in networks.items()}


def published(name: str, network: nn.Module, old: bool = False) -> dict[str, Tensor]:
    """A network's weights under the names that published files have."""
    state = dict(network.state_dict())
    if name == "text_encoder":
        state = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in state.items()}
        if old:
            state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    if name == "vision_encoder" and old:
        state["vision_model.embeddings.position_ids"] = torch.arange(257)[None]
    if name == "vae" and old:
        names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        for new_name, old_name in names.items():
            state = {k.replace(f".{new_name}.", f".{old_name}."): v for k, v in state.items()}
    return state


def write_settings(repo: Path, scheduler: dict, vae: dict = FAST_VAE) -> None:
    """A repository's JSON files and its tokenizer."""
    files = {
        "model_index.json": INDEX,
        "feature_extractor_clip/preprocessor_config.json": CLIP_PIXELS,
        "feature_extractor_vae/preprocessor_config.json": VAE_PIXELS,
        "scheduler/scheduler_config.json": scheduler,
        "text_encoder/config.json": TINY_TEXT,
        "unet/config.json": TINY_UNET,
        "vae/config.json": vae,
        "vision_encoder/config.json": TINY_VISION,
    }
    for name, facts in files.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(json.dumps(facts, indent=2) + "\n")
    write_tokenizer(repo / "tokenizer")


def write_tokenizer(folder: Path) -> None:
    """CLIP's byte-level tokenizer without any merges: 256 bytes, each also as a word's end."""
    folder.mkdir(parents=True, exist_ok=True)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(code) for code in printable]
    letters += [chr(256 + index) for index in range(256 - len(letters))]
    message = letters + [f"{letter}</w>" for letter in letters]
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocabulary = {word: index for index, word in enumerate([*message, start, end])}
    special = {
        key: {
            "content": word, "lstrip": False, "normalized": True, "rstrip": False,
            "single_word": False,
        }
        for key, word in (("bos_token", start), ("eos_token", end), ("unk_token", end))
    }  # fmt: skip
    settings = {
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": True,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": 77,
        "pad_token": "!",
        "tokenizer_class": "CLIPTokenizer",
        **{key: {"__type": "AddedToken", **facts} for key, facts in special.items()},
    }
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(special | {"pad_token": "!"}))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))


def _save(file: Path, state: dict[str, Tensor], half: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {
        key: (value.half() if half and value.is_floating_point() else value).contiguous()
        for key, value in state.items()
    }
    if file.suffix == ".safetensors":
        save_file(state, file, metadata={"format": "pt"})
    else:
        torch.save(state, file)


def disc_frames(count: int) -> np.ndarray:
    """Frames [count, 64, 64, 4] uint8 of a disc that moves and changes its colour."""
    y, x = np.mgrid[:64, :64]
    frames = np.zeros((count, 64, 64, 4), np.uint8)
    for index, frame in enumerate(frames):
        frame[np.hypot(x - 28 - 4 * index, y - 32) < 20] = (220, 60 + 60 * index, 40, 255)
    return frames


def random_condition(count: int, guided: bool = True) -> Condition:
    """A condition of `count` frames with latents of 8 x 8 for a tiny UNet."""
    generator = torch.Generator().manual_seed(count)
    latents = torch.randn(1 + count, 4, 8, 8, generator=generator)
    prompts = torch.randn(1 + count, 7, 16, generator=generator)
    return Condition(latents[1:], prompts[1:], latents[:guided], prompts[:guided])


def scheduler() -> EulerAncestralDiscreteScheduler:
    """The scheduler as the engine sets it up."""
    return EulerAncestralDiscreteScheduler.from_config(SCHEDULER, timestep_spacing="trailing")
