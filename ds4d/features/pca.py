"""Visualization of features: their first three principal components as RGB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..images import tile

SAMPLES = 2000  # tokens that the components are computed from
MIN_TOKENS = 16  # on the object; with fewer, the components are those of all tokens
QUANTILES = (0.02, 0.98)  # of the coordinates that become black and white
CELL = 4  # pixels along a side of a token in the image
COLUMNS = 4  # views side by side


@dataclass(frozen=True)
class PCAColors:
    """Affine map from features to RGB, the same one for a whole clip."""

    mean: Tensor  # [D]
    axes: Tensor  # [D, 3]
    low: Tensor  # [3] coordinates that become 0
    high: Tensor  # [3] coordinates that become 1

    @classmethod
    def fit(
        cls,
        features: Tensor,  # [V, h, w, D]
        images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, the views that they describe
    ) -> PCAColors:
        """Compute the principal components of the tokens on the object."""
        tokens = features.flatten(0, 2).float()
        inside = _coverage(images, features.shape[1:3]).flatten() > 0.5
        tokens = tokens[inside] if inside.sum() >= MIN_TOKENS else tokens
        tokens = tokens[:: max(1, len(tokens) // SAMPLES)]
        mean = tokens.mean(0)
        axes = torch.linalg.eigh((tokens - mean).T @ (tokens - mean)).eigenvectors[:, -3:].flip(-1)
        low, high = torch.quantile((tokens - mean) @ axes, torch.tensor(QUANTILES), dim=0)
        return cls(mean, axes, low, high.maximum(low + 1e-6))

    def render(self, features: Tensor, images: np.ndarray) -> np.ndarray:
        """Tile the views' features over white, [H, W, 3] uint8; arguments as in `fit`."""
        coordinates = (features.float() - self.mean) @ self.axes
        colors = ((coordinates - self.low) / (self.high - self.low)).clamp(0, 1)  # [V, h, w, 3]
        colors = 1 - (1 - colors) * _coverage(images, features.shape[1:3])[..., None]
        colors = colors.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)
        return tile((colors * 255).round().byte().numpy(), COLUMNS)


def _coverage(images: np.ndarray, grid: tuple[int, int]) -> Tensor:
    """Share of each token that the object covers, [V, h, w] in [0, 1]."""
    alpha = torch.tensor(images[..., 3])[:, None].float() / 255
    return F.interpolate(alpha, grid, mode="area")[:, 0]
