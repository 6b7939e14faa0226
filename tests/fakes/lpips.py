"""VGG16 with random weights, in torchvision's layout."""

from __future__ import annotations

from pathlib import Path

import torch

# Layers of VGG16's `features` that are convolutions, and their channels.
CONVOLUTIONS = {
    0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256),
    14: (256, 256), 17: (256, 512), 19: (512, 512), 21: (512, 512), 24: (512, 512),
    26: (512, 512), 28: (512, 512),
}  # fmt: skip


def state(seed: int = 0) -> dict[str, torch.Tensor]:
    """The trunk at its real size, and a classifier that is much smaller than the real one."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer, (inputs, outputs) in CONVOLUTIONS.items():
        spread = (2 / (9 * inputs)) ** 0.5
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator) * spread
        tensors[f"features.{layer}.weight"] = weight
        tensors[f"features.{layer}.bias"] = torch.randn(outputs, generator=generator) * 0.05
    for layer in (0, 3, 6):
        tensors[f"classifier.{layer}.weight"] = torch.zeros(2, 2)
        tensors[f"classifier.{layer}.bias"] = torch.zeros(2)
    return tensors


def make(folder: Path) -> None:
    """Write FOLDER/torchvision/vgg16-397923af.pth."""
    place = folder / "torchvision"
    place.mkdir(parents=True, exist_ok=True)
    torch.save(state(), place / "vgg16-397923af.pth")
