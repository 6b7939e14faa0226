"""HexPlane features of all moments at once, and their gradients, with Triton.

All Gaussians share a few moments, so the planes over time are first read at these: lines [K, S, C]
along x, y and z. A program then reads the planes of space once for all moments.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK, WARPS = 16, 4  # Gaussians of a program and warps that share them


@triton.jit
def _cell(means, axis: tl.constexpr, bound, S):
    """The cell along an axis, and how far into it; beyond the cube its border holds."""
    at = (tl.load(means + axis) / bound + 1) * 0.5 * (S - 1)
    at = tl.minimum(tl.maximum(at, 0.0), S - 1.0)
    cell = tl.minimum(at.to(tl.int32), S - 2)
    return cell, (at - cell)[:, None]


@triton.jit
def _places(means, bound, n, S, C: tl.constexpr):
    """Where the Gaussians n read the planes xy, xz, yz and the lines x, y, z; shares of cells."""
    x, a = _cell(means + 3 * n, 0, bound, S)
    y, b = _cell(means + 3 * n, 1, bound, S)
    z, c = _cell(means + 3 * n, 2, bound, S)
    channel = tl.arange(0, C)[None, :]
    xy = (y * S + x)[:, None] * C + channel
    xz = ((S + z) * S + x)[:, None] * C + channel
    yz = ((2 * S + z) * S + y)[:, None] * C + channel
    x, y, z = x[:, None] * C + channel, y[:, None] * C + channel, z[:, None] * C + channel
    return xy, xz, yz, x, y, z, a, b, c


@triton.jit
def _on_line(line, share, C: tl.constexpr):
    return tl.load(line) * (1 - share) + tl.load(line + C) * share


@triton.jit
def _on_plane(plane, a, b, S, C: tl.constexpr):
    return _on_line(plane, a, C) * (1 - b) + _on_line(plane + S * C, a, C) * b


@triton.jit
def _add_line(line, share, v, inside, C: tl.constexpr):
    tl.atomic_add(line, v * (1 - share), inside, sem="relaxed")
    tl.atomic_add(line + C, v * share, inside, sem="relaxed")


@triton.jit
def _add_plane(plane, a, b, v, inside, S, C: tl.constexpr):
    _add_line(plane, a, v * (1 - b), inside, C)
    _add_line(plane + S * C, a, v * b, inside, C)


@triton.jit
def read_level(
    means,  # [N, 3]
    bound,
    space,  # [3, S, S, C]: xy, xz, yz; the first axis runs along the columns
    lines,  # [3, K, S, C]: x, y, z
    features,  # [K, N, width], written from column first to first + C
    N,
    S,
    first,
    width,
    K: tl.constexpr,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Writes the products of six reads."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = (n < N)[:, None]
    n = tl.minimum(n, N - 1)
    xy, xz, yz, x, y, z, a, b, c = _places(means, bound, n, S, C)
    on_space = _on_plane(space + xy, a, b, S, C) * _on_plane(space + xz, a, c, S, C)
    on_space *= _on_plane(space + yz, b, c, S, C)
    out = features + n[:, None] * width + first + tl.arange(0, C)[None, :]
    for k in range(K):
        line = lines + k * S * C
        on_time = _on_line(line + x, a, C) * _on_line(line + K * S * C + y, b, C)
        on_time *= _on_line(line + 2 * K * S * C + z, c, C)
        tl.store(out + k * N * width, on_space * on_time, inside)


@triton.jit
def read_level_backward(
    means,  # as in read_level
    bound,
    space,
    lines,
    v_features,  # [K, N, width]
    v_space,  # added to
    v_lines,  # added to
    N,
    S,
    first,
    width,
    K: tl.constexpr,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
):
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = (n < N)[:, None]
    n = tl.minimum(n, N - 1)
    xy, xz, yz, x, y, z, a, b, c = _places(means, bound, n, S, C)
    on_xy, on_xz = _on_plane(space + xy, a, b, S, C), _on_plane(space + xz, a, c, S, C)
    on_yz = _on_plane(space + yz, b, c, S, C)
    on_space = on_xy * on_xz * on_yz
    v_on_space = tl.zeros([BLOCK, C], tl.float32)
    v_out = v_features + n[:, None] * width + first + tl.arange(0, C)[None, :]
    for k in range(K):
        at_x, at_y = k * S * C + x, (K + k) * S * C + y
        at_z = (2 * K + k) * S * C + z
        on_x, on_y = _on_line(lines + at_x, a, C), _on_line(lines + at_y, b, C)
        on_z = _on_line(lines + at_z, c, C)
        v = tl.load(v_out + k * N * width)
        v_on_space += v * (on_x * on_y * on_z)
        v *= on_space
        _add_line(v_lines + at_x, a, v * (on_y * on_z), inside, C)
        _add_line(v_lines + at_y, b, v * (on_x * on_z), inside, C)
        _add_line(v_lines + at_z, c, v * (on_x * on_y), inside, C)
    _add_plane(v_space + xy, a, b, v_on_space * (on_xz * on_yz), inside, S, C)
    _add_plane(v_space + xz, a, c, v_on_space * (on_xy * on_yz), inside, S, C)
    _add_plane(v_space + yz, b, c, v_on_space * (on_xy * on_xz), inside, S, C)


def read(
    means: Tensor,  # [N, 3] world; gets no gradient
    bound: float,  # half side of the cube
    space: Sequence[Tensor],  # per level [3, C, S, S]
    time: Sequence[Tensor],  # per level [3, C, T, S]
    rows: Tensor,  # [K] where the moments lie along T, cells
) -> Tensor:  # [K, N, levels * C]
    """Features of K moments, as HexPlane.forward has them; C is a power of two."""
    last = time[0].shape[2] - 1
    rows = rows.clamp(0, last)
    below = rows.long().clamp(max=last - 1)
    share = (rows - below)[:, None, None]
    lines = []
    for planes in time:
        planes = _channels_last(planes)
        # Not indexing, whose gradient would sort the indices.
        pair = planes.index_select(1, below), planes.index_select(1, below + 1)
        lines.append(torch.lerp(*pair, share))
    return _Read.apply(means.contiguous(), bound, *map(_channels_last, space), *lines)


def _channels_last(planes: Tensor) -> Tensor:
    """Planes [3, C, h, w] as [3, h, w, C]: no copy where the channels lie last in memory."""
    return planes.permute(0, 2, 3, 1).contiguous()


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx, means, bound, *tensors):
        half = len(tensors) // 2
        N, K, C = len(means), tensors[-1].shape[1], tensors[-1].shape[3]
        features = means.new_empty(K, N, half * C)
        for level, (space, lines) in enumerate(zip(tensors[:half], tensors[half:], strict=True)):
            read_level[(triton.cdiv(N, BLOCK),)](
                means, bound, space, lines, features, N, space.shape[1], level * C, half * C,
                K, C, BLOCK, num_warps=WARPS,
            )  # fmt: skip
        ctx.bound = bound
        ctx.save_for_backward(means, *tensors)
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx, v_features):
        means, *tensors = ctx.saved_tensors
        half = len(tensors) // 2
        N, K, C = len(means), tensors[-1].shape[1], tensors[-1].shape[3]
        gradients = [torch.zeros_like(tensor) for tensor in tensors]
        v_features = v_features.contiguous()
        for level in range(half):
            space = tensors[level]
            read_level_backward[(triton.cdiv(N, BLOCK),)](
                means, ctx.bound, space, tensors[half + level], v_features, gradients[level],
                gradients[half + level], N, space.shape[1], level * C, half * C, K, C,
                BLOCK, num_warps=WARPS,
            )  # fmt: skip
        return None, None, *gradients
