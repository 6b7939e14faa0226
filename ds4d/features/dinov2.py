"""The pretrained feature engine: DINOv2's patch tokens (Oquab et al. 2024) through transformers.

Views are composited over white and resized to 518 pixels, the size that the network was trained at.
The published preprocessor is not used: it resizes to 256 pixels and crops the border.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import weights
from ..config import MachineConfig
from ..errors import UserError
from ..run import device
from ..run.events import Event, Stage
from ..weights import into_transformers
from .pca import PCAColors

PATCH = 14  # pixels along a side of a patch
GRID = 37  # patches along a side of a view
SIZE = GRID * PATCH  # pixels along a side of the network's input
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's colours
BATCH_GPU, BATCH_LOW_MEMORY, BATCH_CPU = 16, 4, 1  # views at once
OPTIONAL = frozenset({"embeddings.mask_token"})  # of training only; some conversions leave it out


def run(
    images: np.ndarray,  # [T, V, S, S, 4] uint8 RGBA, straight alpha
    *,
    model: str,  # "base", "small" or "large"
    machine: MachineConfig,
) -> Stage[Tensor]:
    """Patch tokens after the last norm, [T, V, 37, 37, D] float16 on the CPU; row 0 is the top.

    Raises:
        UserError: no weights, or they are not DINOv2's.
    """
    place = device.pick(machine.device)
    yield Event("features", 0, images.shape[0] * images.shape[1], f"loading DINOv2 ({model})")
    network = _load(weights.fetch(f"dinov2-{model}", machine.weights), place)
    try:
        return (yield from _extract(images, network, _batch(place, machine.low_memory)))
    finally:
        del network
        device.release()


def _batch(place: torch.device, low_memory: bool) -> int:
    if place.type == "cpu":
        return BATCH_CPU
    return BATCH_LOW_MEMORY if low_memory else BATCH_GPU


def _extract(images: np.ndarray, network: nn.Module, batch: int) -> Stage[Tensor]:
    """Extract features [T, V, 37, 37, D] float16, `batch` views at a time."""
    frames, views = images.shape[:2]
    total, shown = frames * views, 0
    flat = images.reshape(total, *images.shape[2:])
    features = torch.empty(total, GRID, GRID, network.config.hidden_size, dtype=torch.float16)
    by_frame = features.view(frames, views, *features.shape[1:])
    colors = None
    for start in range(0, total, batch):
        part = _tokens(network, flat[start : start + batch])
        if not torch.isfinite(part).all():
            raise UserError(
                f"DINOv2 returns values that are not finite for frame {start // views + 1}.",
                "Its weights may be damaged: delete the file and let it be downloaded again.",
            )
        done = start + len(part)
        features[start:done] = part
        preview = None
        if done // views > shown:  # another frame is complete
            shown = done // views
            newest, pictures = by_frame[shown - 1], images[shown - 1]
            colors = colors or PCAColors.fit(newest, pictures)
            preview = colors.render(newest, pictures)
        yield Event("features", done, total, f"DINOv2: view {done} of {total}", preview)
    return by_frame


@torch.inference_mode()
def _tokens(network: nn.Module, images: np.ndarray) -> Tensor:
    """Patch tokens [B, 37, 37, D] float16 of views [B, S, S, 4] uint8; no class token."""
    tokens = network(pixel_values=pixel_values(images, network.device)).last_hidden_state[:, 1:]
    return tokens.reshape(len(images), GRID, GRID, -1).to("cpu", torch.float16)


def pixel_values(images: np.ndarray, place: torch.device) -> Tensor:
    """The network's input [B, 3, 518, 518] float32 for views [B, S, S, 4] uint8: over white."""
    rgba = torch.tensor(images, device=place).permute(0, 3, 1, 2).float() / 255
    rgb = 1 - (1 - rgba[:, :3]) * rgba[:, 3:]
    rgb = F.interpolate(rgb, (SIZE, SIZE), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(c, device=place).view(3, 1, 1) for c in (MEAN, STD))
    return (rgb - mean) / std


# --- loading ------------------------------------------------------------------------------------


def _load(folder: Path, place: torch.device) -> nn.Module:
    """The network in the device's dtype, from config.json and model.safetensors in a folder.

    Raises:
        UserError: a file is damaged or belongs to another network.
    """
    from transformers import Dinov2Model

    network = into_transformers.load(
        Dinov2Model,
        _config(folder / "config.json"),
        folder / "model.safetensors",
        "DINOv2",
        device.network_dtype(place),
        OPTIONAL,
    )
    return network.to(place)


def _config(file: Path):
    from transformers import Dinov2Config

    facts = weights.read_json(file)
    if facts.get("model_type") != "dinov2" or facts.get("patch_size") != PATCH:
        raise UserError(
            f"{file} describes {facts.get('model_type', 'an unknown network')}, not DINOv2 with "
            f"patches of {PATCH} pixels.",
            "The folder should hold the files of facebook/dinov2-base, -small or -large.",
        )
    return Dinov2Config.from_dict(facts)
