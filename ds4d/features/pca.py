"""Features as colours: their first three principal components, the same ones for a whole clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..images import tile

SAMPLES = 2000  # tokens that the components are found from
CELL = 4  # pixels along a side of a token in the picture
COLUMNS = 4  # views side by side


@dataclass(frozen=True)
class Palette:
    """An affine map from features to colours."""

    mean: Tensor  # [D]
    axes: Tensor  # [D, 3]
    low: Tensor  # [3], the coordinates that are black
    high: Tensor  # [3], and the ones that are white

    @classmethod
    def of(
        cls,
        features: Tensor,  # [V, h, w, D]
        images: np.ndarray,  # [V, S, S, 4] uint8: what they describe
    ) -> Palette:
        """The components that tell the parts of the object apart (of everything, if it is tiny)."""
        tokens = features.flatten(0, 2).float()
        inside = _coverage(images, features.shape[1:3]).flatten() > 0.5
        tokens = tokens[inside] if inside.sum() >= 16 else tokens
        tokens = tokens[:: max(1, len(tokens) // SAMPLES)]
        mean = tokens.mean(0)
        axes = torch.linalg.eigh((tokens - mean).T @ (tokens - mean)).eigenvectors[:, -3:].flip(-1)
        places = (tokens - mean) @ axes
        low, high = torch.quantile(places, torch.tensor([0.02, 0.98]), dim=0)
        return cls(mean, axes, low, high.maximum(low + 1e-6))

    def paint(self, features: Tensor, images: np.ndarray) -> np.ndarray:
        """The views' features as one picture [H, W, 3] uint8, over white; shapes as in `of`."""
        places = (features.float() - self.mean) @ self.axes
        colors = ((places - self.low) / (self.high - self.low)).clamp(0, 1)  # [V, h, w, 3]
        colors = 1 - (1 - colors) * _coverage(images, features.shape[1:3])[..., None]
        colors = colors.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)
        return tile((colors * 255).round().byte().numpy(), COLUMNS)


def _coverage(images: np.ndarray, grid: tuple[int, int]) -> Tensor:
    """How much of each token the object covers, [V, h, w] in [0, 1]."""
    alpha = torch.tensor(images[..., 3])[:, None].float() / 255
    return F.interpolate(alpha, grid, mode="area")[:, 0]
