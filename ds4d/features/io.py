"""File of the features of a run."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import reading


def save_features(path: Path, features: Tensor) -> None:
    """Write features [T, V, h, w, D] in half precision."""
    save_file({"features": features.to(torch.float16).contiguous()}, path)


def load_features(path: Path) -> Tensor:
    """Read features that `save_features` wrote, [T, V, h, w, D] float32."""
    with reading(path):
        return load_file(path)["features"].float()
