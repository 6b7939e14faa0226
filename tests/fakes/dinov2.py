"""Tiny random DINOv2 checkpoints as facebook publishes them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

MODELS = ("base", "small", "large")
WIDTH, LAYERS, HEADS, PATCHES = 16, 2, 2, 37 * 37


def make(folder: Path) -> None:
    """Write FOLDER/facebook/dinov2-{base,small,large}: config, preprocessor and weights."""
    for seed, model in enumerate(MODELS):
        repo = folder / "facebook" / f"dinov2-{model}"
        repo.mkdir(parents=True, exist_ok=True)
        (repo / "config.json").write_text(json.dumps(config(), indent=2) + "\n")
        (repo / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
        save_file(state(seed), repo / "model.safetensors", metadata={"format": "pt"})


def config() -> dict:
    return {
        "architectures": ["Dinov2Model"],
        "attention_probs_dropout_prob": 0.0,
        "drop_path_rate": 0.0,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": WIDTH,
        "image_size": 518,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-06,
        "layerscale_value": 1.0,
        "mlp_ratio": 4,
        "model_type": "dinov2",
        "num_attention_heads": HEADS,
        "num_channels": 3,
        "num_hidden_layers": LAYERS,
        "patch_size": 14,
        "qkv_bias": True,
        "torch_dtype": "float32",
        "transformers_version": "4.31.0.dev0",
        "use_swiglu_ffn": False,
    }


PREPROCESSOR = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "BitImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 256},
}


def state(seed: int) -> dict[str, torch.Tensor]:
    """Random weights under the published names, all float32."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int, scale: float = 0.3) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * scale

    def linear(name: str, rows: int, columns: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": random(rows, columns), f"{name}.bias": random(rows)}

    def norm(name: str) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": 1 + random(WIDTH), f"{name}.bias": random(WIDTH)}

    weights = {
        "embeddings.cls_token": random(1, 1, WIDTH),
        "embeddings.mask_token": torch.zeros(1, WIDTH),
        "embeddings.position_embeddings": random(1, PATCHES + 1, WIDTH),
        "embeddings.patch_embeddings.projection.weight": random(WIDTH, 3, 14, 14, scale=0.1),
        "embeddings.patch_embeddings.projection.bias": random(WIDTH),
    }
    for index in range(LAYERS):
        layer = f"encoder.layer.{index}"
        weights |= norm(f"{layer}.norm1")
        for name in ("attention.query", "attention.key", "attention.value", "output.dense"):
            weights |= linear(f"{layer}.attention.{name}", WIDTH, WIDTH)
        weights[f"{layer}.layer_scale1.lambda1"] = random(WIDTH)
        weights |= norm(f"{layer}.norm2")
        weights |= linear(f"{layer}.mlp.fc1", 4 * WIDTH, WIDTH)
        weights |= linear(f"{layer}.mlp.fc2", WIDTH, 4 * WIDTH)
        weights[f"{layer}.layer_scale2.lambda1"] = random(WIDTH)
    return weights | norm("layernorm")
