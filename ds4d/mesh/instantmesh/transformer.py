"""Triplane transformer: tokens of views to feature planes (LRM, Hong et al. 2024, section 3.2).

Attributes carry the names of the published checkpoint's keys.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor, nn


class TriplaneTransformer(nn.Module):
    """Learned tokens, one per cell of three planes, with cross-attention to the views' tokens."""

    def __init__(
        self, dim: int, depth: int, heads: int, token_dim: int, grid: int, plane_dim: int
    ) -> None:
        """
        Args:
            token_dim: width of the views' tokens; not `dim`, for which torch has other keys.
            grid: tokens along a side of a plane; the planes are twice as fine.
            plane_dim: channels of the planes.
        """
        super().__init__()
        self.grid = grid
        self.pos_embed = nn.Parameter(torch.zeros(1, 3 * grid * grid, dim))
        self.layers = nn.ModuleList(Layer(dim, heads, token_dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.deconv = nn.ConvTranspose2d(dim, plane_dim, kernel_size=2, stride=2)

    def steps(
        self,
        views: Tensor,  # [1, V * L, token_dim]
    ) -> Generator[Tensor, None, Tensor]:
        """Yield the tokens [1, 3 * grid^2, dim] after each layer; return the planes.

        The planes [3, plane_dim, 2 * grid, 2 * grid] are those of x and y, x and z, z and y; the
        first named runs along the width.
        """
        tokens = self.pos_embed
        for layer in self.layers:
            tokens = layer(tokens, views)
            yield tokens
        tokens = self.norm(tokens).reshape(3, self.grid, self.grid, -1)
        return self.deconv(tokens.permute(0, 3, 1, 2))


class Layer(nn.Module):
    """Cross-attention to the views, self-attention and an MLP, each behind a norm."""

    def __init__(self, dim: int, heads: int, token_dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.cross_attn = nn.MultiheadAttention(
            dim, heads, kdim=token_dim, vdim=token_dim, bias=False, batch_first=True
        )
        self.self_attn = nn.MultiheadAttention(dim, heads, bias=False, batch_first=True)
        # Training drops out after both linear layers; the checkpoint's indices count that.
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Identity(), nn.Linear(4 * dim, dim)
        )

    def forward(self, tokens: Tensor, views: Tensor) -> Tensor:
        normal = self.norm1(tokens)
        tokens = tokens + self.cross_attn(normal, views, views, need_weights=False)[0]
        normal = self.norm2(tokens)
        tokens = tokens + self.self_attn(normal, normal, normal, need_weights=False)[0]
        return tokens + self.mlp(self.norm3(tokens))
