"""Zeros that bring any width to one that kernels take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


def pad_blocks(
    tensor: Tensor,  # [..., sum(widths)]
    widths: Sequence[int],
    target: Callable[[int], int],
) -> Tensor:  # [..., sum(map(target, widths))]
    """Append zeros to blocks of the last axis; differentiable, and no copy where none is needed.

    Args:
        widths: of the blocks, in order.
        target: from the width of a block to its padded width.
    """
    if all(target(width) == width for width in widths):
        return tensor
    blocks = tensor.split(list(widths), -1)
    return torch.cat(
        [pad(block, (0, target(block.shape[-1]) - block.shape[-1])) for block in blocks], -1
    )


def cut_blocks(
    tensor: Tensor,  # [..., blocks * padded]
    padded: int,
    width: int,
) -> Tensor:  # [..., blocks * width]
    """Drop what `pad_blocks` appended to blocks of equal widths."""
    if padded == width:
        return tensor
    return tensor.unflatten(-1, (-1, padded))[..., :width].flatten(-2)
