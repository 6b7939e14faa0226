"""Encoder: a ViT (Dosovitskiy et al. 2021; DINO's, Caron et al. 2021) conditioned on cameras.

Each layer's two norms are modulated by the camera of the view (adaLN, Peebles and Xie 2023, here
without gates). Attributes carry the names of the published checkpoint's keys.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-12  # facebook/dino-vitb16's config.json


class Encoder(nn.Module):
    """Tokens of views, conditioned on their cameras."""

    def __init__(
        self, dim: int, depth: int, heads: int, hidden: int, patch: int, grid: int
    ) -> None:
        """
        Args:
            dim: width of the tokens.
            hidden: width inside the layers' networks.
            patch: side of a patch, pixels.
            grid: patches along a side of the images that the positions were trained for.
        """
        super().__init__()
        layers = nn.ModuleList(Layer(dim, heads, hidden) for _ in range(depth))
        self.model = nn.ModuleDict({
            "embeddings": Embeddings(dim, patch, grid),
            "encoder": nn.ModuleDict({"layer": layers}),
            "layernorm": nn.LayerNorm(dim, EPS),
        })  # fmt: skip
        self.camera_embedder = nn.Sequential(nn.Linear(16, dim), nn.SiLU(), nn.Linear(dim, dim))

    def steps(
        self,
        pixels: Tensor,  # [V, 3, S, S], normalised
        cameras: Tensor,  # [V, 16], of cameras.camera_vectors
    ) -> Generator[Tensor, None, Tensor]:
        """Yield the tokens [V, L, dim] after each layer; return them normalised.

        Of the L tokens of a view the first is the class token, the others are its patches.
        """
        tokens = self.model["embeddings"](pixels)
        camera = self.camera_embedder(cameras)
        for layer in self.model["encoder"]["layer"]:
            tokens = layer(tokens, camera)
            yield tokens
        return self.model["layernorm"](tokens)


class Embeddings(nn.Module):
    """Class token, patch embeddings and interpolated position embeddings."""

    def __init__(self, dim: int, patch: int, grid: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + grid * grid, dim))
        self.patch_embeddings = nn.ModuleDict({"projection": nn.Conv2d(3, dim, patch, patch)})

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embeddings["projection"](pixels)  # [V, dim, h, w]
        tokens = patches.flatten(2).transpose(1, 2)
        class_token = self.cls_token.expand(len(tokens), -1, -1)
        return torch.cat([class_token, tokens], 1) + self.positions(*patches.shape[-2:])

    def positions(self, height: int, width: int) -> Tensor:
        """Position embeddings for a grid of patches, [1, 1 + height * width, dim]."""
        class_position, positions = self.position_embeddings.split(
            [1, self.position_embeddings.shape[1] - 1], dim=1
        )
        grid = round(positions.shape[1] ** 0.5)
        if (height, width) == (grid, grid):
            return self.position_embeddings
        positions = positions.reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
        # DINO adds a tenth of a patch against rounding; the network was trained with the sampling
        # positions that follow from it.
        scale = ((height + 0.1) / grid, (width + 0.1) / grid)
        positions = F.interpolate(
            positions, scale_factor=scale, mode="bicubic", align_corners=False
        )  # fmt: skip
        return torch.cat([class_position, positions.flatten(2).transpose(1, 2)], 1)


class Layer(nn.Module):
    """Self-attention and an MLP, each behind a norm that the camera modulates."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.layernorm_before = nn.LayerNorm(dim, EPS)
        self.attention = nn.ModuleDict({
            "attention": nn.ModuleDict({
                name: nn.Linear(dim, dim) for name in ("query", "key", "value")
            }),
            "output": nn.ModuleDict({"dense": nn.Linear(dim, dim)}),
        })  # fmt: skip
        self.layernorm_after = nn.LayerNorm(dim, EPS)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(dim, hidden)})
        self.output = nn.ModuleDict({"dense": nn.Linear(hidden, dim)})
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 4 * dim))

    def forward(
        self,
        tokens: Tensor,  # [V, L, dim]
        camera: Tensor,  # [V, dim]
    ) -> Tensor:
        modulation = self.adaLN_modulation(camera)[:, None].chunk(4, -1)
        shift, scale, shift_after, scale_after = modulation
        normal = self.layernorm_before(tokens) * (1 + scale) + shift
        tokens = tokens + self.attend(normal)
        normal = self.layernorm_after(tokens) * (1 + scale_after) + shift_after
        hidden = F.gelu(self.intermediate["dense"](normal))
        return tokens + self.output["dense"](hidden)

    def attend(self, tokens: Tensor) -> Tensor:
        """Self-attention among tokens [V, L, dim]."""
        projections = self.attention["attention"]
        queries, keys, values = (
            projections[name](tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )  # [V, heads, L, dim / heads]
        attended = F.scaled_dot_product_attention(queries, keys, values)
        return self.attention["output"]["dense"](attended.transpose(1, 2).flatten(2))
