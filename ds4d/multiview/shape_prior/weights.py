"""Weights as they are shipped: matrices and kernels in 8 bits, a scale for each row."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

WEIGHTS = Path(__file__).with_name("weights") / "shape_prior.safetensors"
SCALE = ".scale"  # ending of the names of the scales
LARGEST = 127


@cache
def fingerprint() -> str:
    """Hash of the shipped weights, for the keys of what is made with them."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:16]


def save_weights(file: Path, weights: dict[str, Tensor], about: dict[str, str]) -> None:
    """Write float weights; vectors are stored in half precision."""
    stored = {}
    for name, weight in weights.items():
        weight = weight.float().cpu()
        if weight.ndim < 2:
            stored[name] = weight.half()
            continue
        scale = weight.flatten(1).abs().amax(1).clamp(min=1e-12) / LARGEST
        steps = weight / scale.reshape(-1, *(1,) * (weight.ndim - 1))
        stored[name], stored[name + SCALE] = steps.round().to(torch.int8), scale
    save_file({name: t.contiguous() for name, t in stored.items()}, file, about)


def load_weights(file: Path) -> tuple[dict[str, Tensor], dict]:
    """Float weights by name, and the network's sizes."""
    with safe_open(str(file), "pt") as stored:
        sizes = json.loads(stored.metadata()["sizes"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}
    weights = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE):
            continue
        weights[name] = tensor.float()
        if name + SCALE in tensors:
            scale = tensors[name + SCALE]
            weights[name] *= scale.reshape(-1, *(1,) * (tensor.ndim - 1))
    sizes = {key: tuple(v) if isinstance(v, list) else v for key, v in sizes.items()}
    return weights, sizes
