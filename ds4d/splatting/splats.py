"""Activated Gaussians, ready to be rendered or exported, and a shorthand that renders them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..cameras import Cameras
from ..errors import reading
from .rasterize import rasterize


@dataclass(frozen=True)
class Splats:
    """N Gaussians at one moment."""

    means: Tensor  # [N, 3] world
    quats: Tensor  # [N, 4] w, x, y, z, unit length
    scales: Tensor  # [N, 3] linear, world units
    opacities: Tensor  # [N] in [0, 1]
    colors: Tensor  # [N, 3] in [0, 1]
    antialiased: bool = False  # drawn fainter, not larger, where smaller than a pixel

    def __len__(self) -> int:
        return len(self.means)

    def to(self, device: torch.device | str) -> Splats:
        """The same Gaussians on a device."""
        tensors = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return Splats(**tensors, antialiased=self.antialiased)

    def __getitem__(self, chosen: Tensor) -> Splats:
        """Some of the Gaussians, by a mask [N] or by indices."""
        tensors = {name: tensor[chosen] for name, tensor in self.tensors().items()}
        return Splats(**tensors, antialiased=self.antialiased)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {name: value for name, value in vars(self).items() if name != "antialiased"}


def save_splats(path: Path, splats: Splats) -> None:
    """Write Gaussians as a NumPy archive, without loss."""
    arrays = {name: tensor.cpu().numpy() for name, tensor in splats.tensors().items()}
    np.savez_compressed(path, **arrays, antialiased=splats.antialiased)


def load_splats(path: Path) -> Splats:
    """Read what `save_splats` wrote."""
    with reading(path), np.load(path) as file:
        tensors = {name: torch.from_numpy(file[name]) for name in file.files[:-1]}
        return Splats(**tensors, antialiased=bool(file["antialiased"]))


@torch.no_grad()
def render(
    splats: Splats,
    cameras: Cameras,
    background: float = 1.0,  # grey level behind the object, in [0, 1]
    backend: str = "auto",  # of rasterize
) -> tuple[Tensor, Tensor, Tensor]:
    """Render colours [C, H, W, 3] over the background, alphas and expected depths [C, H, W, 1].

    Computed on the device of the Gaussians, wherever the cameras are.
    """
    cameras = cameras.to(splats.means.device)
    backgrounds = torch.full((len(cameras), 3), background, device=splats.means.device)
    return rasterize(
        splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
        cameras.viewmats, cameras.Ks, cameras.width, cameras.height, backgrounds,
        antialiased=splats.antialiased, backend=backend,
    )  # fmt: skip
