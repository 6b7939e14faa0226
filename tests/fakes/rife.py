"""RIFE with random weights in the published layout and size, which stay small: 21 MB."""

from __future__ import annotations

from pathlib import Path

import torch

from ds4d.interpolation.ifnet import IFNet
from ds4d.weights import CATALOGUE

RIFE = CATALOGUE["rife-4.6"]


def make(folder: Path) -> None:
    """Write the checkpoint as training on several GPUs leaves it, with a part that is not used."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = {f"module.{name}": value for name, value in IFNet().state_dict().items()}
    state["module.block_tea.conv0.0.0.weight"] = torch.zeros(2)
    place = folder / RIFE.repo
    place.mkdir(parents=True)
    torch.save(state, place / RIFE.files[0])
