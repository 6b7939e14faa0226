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

from ..padding import cut_blocks, pad_blocks

BLOCK, WARPS = 8, 4  # Gaussians of a program and warps that share them
COLUMNS = 512  # of a program that reads planes over time
COPIES = 8  # of the lines' gradients: few cells, to which many programs would add at once


@triton.jit
def _cell(places, axis: tl.constexpr, S):
    """The cell along an axis and the share of the way through it, clamped to the cube."""
    at = (tl.load(places + axis) + 1) * 0.5 * (S - 1)
    at = tl.minimum(tl.maximum(at, 0.0), S - 1.0)
    cell = tl.minimum(at.to(tl.int32), S - 2)
    return cell, (at - cell)[:, None]


@triton.jit
def _places(places, n, S, C: tl.constexpr):
    """First cells of the Gaussians n in the planes xy, xz, yz and on the lines x, y, z; shares."""
    x, a = _cell(places + 3 * n, 0, S)
    y, b = _cell(places + 3 * n, 1, S)
    z, c = _cell(places + 3 * n, 2, S)
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


@triton.jit(do_not_specialize=["N"])
def read_level(
    places,  # [N, 3] in the cube, from -1 to 1
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
    """Write the products of the six planes' values."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = (n < N)[:, None]
    n = tl.minimum(n, N - 1)
    xy, xz, yz, x, y, z, a, b, c = _places(places, n, S, C)
    on_space = _on_plane(space + xy, a, b, S, C) * _on_plane(space + xz, a, c, S, C)
    on_space *= _on_plane(space + yz, b, c, S, C)
    out = features + n[:, None] * width + first + tl.arange(0, C)[None, :]
    for k in range(K):
        line = lines + k * S * C
        on_time = _on_line(line + x, a, C) * _on_line(line + K * S * C + y, b, C)
        on_time *= _on_line(line + 2 * K * S * C + z, c, C)
        tl.store(out + k * N * width, on_space * on_time, inside)


@triton.jit(do_not_specialize=["N"])
def read_level_backward(
    places,  # as in read_level
    space,
    lines,
    v_features,  # [K, N, width]
    v_space,  # added to
    v_lines,  # [COPIES, 3, K, S, C], added to
    N,
    S,
    first,
    width,
    K: tl.constexpr,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    COPIES: tl.constexpr,
):
    v_lines += tl.program_id(0) % COPIES * 3 * K * S * C
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = (n < N)[:, None]
    n = tl.minimum(n, N - 1)
    xy, xz, yz, x, y, z, a, b, c = _places(places, n, S, C)
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


@triton.jit
def _row(rows, k, T):
    """Place of a moment along time, in cells."""
    return tl.minimum(tl.maximum(tl.load(rows + k), 0.0), T - 1.0)


@triton.jit
def write_lines(
    time,  # [3, T, size]
    rows,  # [K]
    lines,  # [3, K, size], written
    T,
    size,
    COLUMNS: tl.constexpr,
):
    """Interpolate the time planes at the moments."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    k, axis, K = tl.program_id(1), tl.program_id(2), tl.num_programs(1)
    row = _row(rows, k, T)
    below = tl.minimum(row.to(tl.int32), T - 2)
    at = time + (axis * T + below) * size + column
    one, two = tl.load(at, column < size), tl.load(at + size, column < size)
    line = one + (row - below) * (two - one)
    tl.store(lines + (axis * K + k) * size + column, line, column < size)


@triton.jit
def write_lines_backward(
    v_lines,  # [COPIES, 3, K, size]
    rows,  # [K]
    v_time,  # [3, T, size], written
    size,
    K: tl.constexpr,
    COLUMNS: tl.constexpr,
    COPIES: tl.constexpr,
):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    t, axis, T = tl.program_id(1), tl.program_id(2), tl.num_programs(1)
    v = tl.zeros([COLUMNS], tl.float32)
    for k in range(K):
        share = tl.maximum(1 - tl.abs(_row(rows, k, T) - t), 0.0)
        line = v_lines + (axis * K + k) * size + column
        for copy in range(COPIES):
            v += share * tl.load(line + copy * 3 * K * size, column < size)
    tl.store(v_time + (axis * T + t) * size + column, v, column < size)


def read(
    places: Tensor,  # [N, 3] in the cube, from -1 to 1; gets no gradient
    space: Sequence[Tensor],  # per level [3, C, S, S]
    time: Sequence[Tensor],  # per level [3, C, T, S]
    rows: Tensor,  # [K] places of the moments along T, in cells
) -> Tensor:  # [K, N, levels * C]
    """Features of K moments, as HexPlane.forward computes them.

    Widths that are no power of two are padded with zeros.
    """
    C = space[0].shape[1]
    planes = [
        pad_blocks(plane.permute(0, 2, 3, 1), [C], triton.next_power_of_2).contiguous()
        for plane in (*space, *time)
    ]
    features = _Read.apply(places.contiguous(), rows, *planes)
    return cut_blocks(features, planes[0].shape[3], C)


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx, places, rows, *planes):  # each [3, S or T, S, C]
        levels = len(planes) // 2
        N, K, C = len(places), len(rows), planes[0].shape[3]
        features, lines = places.new_empty(K, N, levels * C), []
        for level, (space, time) in enumerate(zip(planes[:levels], planes[levels:], strict=True)):
            T, S = time.shape[1:3]
            lines.append(places.new_empty(3, K, S, C))
            write_lines[(triton.cdiv(S * C, COLUMNS), K, 3)](
                time, rows, lines[-1], T, S * C, COLUMNS
            )
            read_level[(triton.cdiv(N, BLOCK),)](
                places, space, lines[-1], features, N, S, level * C, levels * C, K, C, BLOCK,
                num_warps=WARPS,
            )  # fmt: skip
        ctx.times = planes[-1].shape[1]
        ctx.save_for_backward(places, rows, *planes[:levels], *lines)
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx, v_features):
        places, rows, *tensors = ctx.saved_tensors
        levels = len(tensors) // 2
        N, K, C = len(places), len(rows), tensors[0].shape[3]
        v_features, v_spaces, v_times = v_features.contiguous(), [], []
        for level in range(levels):
            space, lines = tensors[level], tensors[levels + level]
            S, v_lines = space.shape[1], lines.new_zeros(COPIES, *lines.shape)
            v_spaces.append(torch.zeros_like(space))
            read_level_backward[(triton.cdiv(N, BLOCK),)](
                places, space, lines, v_features, v_spaces[-1], v_lines, N, S,
                level * C, levels * C, K, C, BLOCK, COPIES, num_warps=WARPS,
            )  # fmt: skip
            v_times.append(places.new_empty(3, ctx.times, S, C))
            write_lines_backward[(triton.cdiv(S * C, COLUMNS), ctx.times, 3)](
                v_lines, rows, v_times[-1], S * C, K, COLUMNS, COPIES
            )
        return None, None, *v_spaces, *v_times
