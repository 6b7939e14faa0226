"""Zero123 with random weights in the published layout: tiny for tests, real-sized for timing."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from ds4d.guidance import networks

REPOS = ("ashawkey/zero123-xl-diffusers", "ashawkey/stable-zero123-diffusers")
CROSS, PLAIN = "CrossAttn{}Block2D", "{}Block2D"
INDEX = {
    "_class_name": "Zero123Pipeline",
    "_diffusers_version": "0.24.0",
    "clip_camera_projection": ["zero123", "CLIPCameraProjection"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
REAL = {
    "vae": {
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
    },
    "unet": {
        "_class_name": "UNet2DConditionModel",
        "_diffusers_version": "0.24.0",
        "act_fn": "silu",
        "attention_head_dim": 8,
        "block_out_channels": [320, 640, 1280, 1280],
        "center_input_sample": False,
        "cross_attention_dim": 768,
        "down_block_types": [CROSS.format("Down")] * 3 + [PLAIN.format("Down")],
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 8,
        "layers_per_block": 2,
        "mid_block_scale_factor": 1,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "norm_eps": 1e-05,
        "norm_num_groups": 32,
        "out_channels": 4,
        "sample_size": 32,
        "up_block_types": [PLAIN.format("Up")] + [CROSS.format("Up")] * 3,
        "use_linear_projection": False,
    },
    "image_encoder": {
        "architectures": ["CLIPVisionModelWithProjection"],
        "attention_dropout": 0.0,
        "hidden_act": "quick_gelu",
        "hidden_size": 1024,
        "image_size": 224,
        "intermediate_size": 4096,
        "layer_norm_eps": 1e-05,
        "model_type": "clip_vision_model",
        "num_attention_heads": 16,
        "num_channels": 3,
        "num_hidden_layers": 24,
        "patch_size": 14,
        "projection_dim": 768,
        "torch_dtype": "float16",
    },
    "clip_camera_projection": {
        "_class_name": "CLIPCameraProjection",
        "_diffusers_version": "0.22.2",
        "additional_embeddings": 4,
        "embedding_dim": 768,
    },
    "scheduler": {
        "_class_name": "DDIMScheduler",
        "_diffusers_version": "0.24.0",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": False,
        "clip_sample_range": 1.0,
        "dynamic_thresholding_ratio": 0.995,
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "rescale_betas_zero_snr": False,
        "sample_max_value": 1.0,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "thresholding": False,
        "timestep_spacing": "leading",
        "trained_betas": None,
    },
    "feature_extractor": {
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_processor_type": "CLIPImageProcessor",
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 224},
        "use_square_size": False,
    },
}
NARROW = {
    "vae": {"block_out_channels": [4, 4, 8, 8], "layers_per_block": 1, "norm_num_groups": 4},
    "unet": {
        "attention_head_dim": 2,
        "block_out_channels": [8, 16],
        "cross_attention_dim": 16,
        "down_block_types": [CROSS.format("Down"), PLAIN.format("Down")],
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "up_block_types": [PLAIN.format("Up"), CROSS.format("Up")],
    },
    "image_encoder": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "projection_dim": 16,
    },
    "clip_camera_projection": {"embedding_dim": 16},
}
TINY = {name: config | NARROW.get(name, {}) for name, config in REAL.items()}


def make(folder: Path) -> None:
    """Write both repositories into FOLDER/OWNER/REPO, in half precision as they are published."""
    for seed, repo in enumerate(REPOS):
        write(folder / repo, seed)


def write(place: Path, seed: int) -> None:
    """One repository's files."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = networks.build(TINY, torch.device("cpu"))
    for name, file in networks.CONFIGS.items():
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(json.dumps(TINY[name], indent=2))
    (place / "model_index.json").write_text(json.dumps(INDEX, indent=2))
    for name, file in networks.WEIGHTS.items():
        save_file(_published(getattr(parts, name)), place / file)


def _published(module: nn.Module) -> dict[str, torch.Tensor]:
    """A module's weights as the files hold them; CLIP's hold its position numbers, too."""
    state = {key: value.half().contiguous() for key, value in module.state_dict().items()}
    numbers = {key: value for key, value in module.named_buffers() if key.endswith("position_ids")}
    return state | numbers
