"""How rough planes are, and the gradient of that, with Triton: each in one pass over the planes."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS, COLUMNS = 16, 128  # of a program


@triton.jit
def _row(plane, row, rows, columns, inside):
    return tl.load(plane + row * columns, inside & (row >= 0) & (row < rows), 0.0)


@triton.jit
def _place(columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Rows and columns of a program's part of a plane, and whether the latter exist."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    return row, column, column < columns


@triton.jit
def sum_squares(planes, sums, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Writes the sum of squared second differences of a program's part of [3, rows, columns]."""
    row, column, inside = _place(columns, ROWS, COLUMNS)
    plane = planes + tl.program_id(2) * rows * columns + column
    middle = _row(plane, row + 1, rows, columns, inside)
    second = _row(plane, row, rows, columns, inside) - 2 * middle
    second += _row(plane, row + 2, rows, columns, inside)
    second = tl.where(row < rows - 2, second, 0.0)
    program = tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)
    program = program * tl.num_programs(0) + tl.program_id(0)
    tl.store(sums + program, tl.sum(tl.sum(second * second, 1), 0))


@triton.jit
def sum_squares_backward(
    planes, v, v_planes, scale, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    """Writes v * scale * gradient of half the sum of squares."""
    row, column, inside = _place(columns, ROWS, COLUMNS)
    first = tl.program_id(2) * rows * columns + column
    plane = planes + first
    far_above = _row(plane, row - 2, rows, columns, inside)
    above = _row(plane, row - 1, rows, columns, inside)
    here = _row(plane, row, rows, columns, inside)
    below = _row(plane, row + 1, rows, columns, inside)
    far_below = _row(plane, row + 2, rows, columns, inside)
    # The second differences that this row ends, is the middle of, and begins.
    ends = tl.where(row >= 2, far_above - 2 * above + here, 0.0)
    middle = tl.where((row >= 1) & (row < rows - 1), above - 2 * here + below, 0.0)
    begins = tl.where(row < rows - 2, here - 2 * below + far_below, 0.0)
    gradient = tl.load(v) * scale * (ends - 2 * middle + begins)
    tl.store(v_planes + first + row * columns, gradient, inside & (row < rows))


def roughness(planes: Tensor) -> Tensor:
    """Mean squared second differences along the rows of each of [B, C, h, w], summed over B."""
    return _Roughness.apply(planes.permute(0, 2, 3, 1).contiguous())


class _Roughness(torch.autograd.Function):
    @staticmethod
    def forward(ctx, planes):  # [B, h, w, C]
        B, rows = planes.shape[:2]
        columns = planes[0, 0].numel()
        programs = triton.cdiv(columns, COLUMNS), triton.cdiv(rows, ROWS), B
        sums = planes.new_empty(programs[0] * programs[1] * B)
        sum_squares[programs](planes, sums, rows, columns, ROWS, COLUMNS)
        ctx.save_for_backward(planes)
        ctx.programs, ctx.count = programs, (rows - 2) * columns
        return sums.sum() / ctx.count

    @staticmethod
    @once_differentiable
    def backward(ctx, v):
        (planes,) = ctx.saved_tensors
        v_planes, columns = torch.empty_like(planes), planes[0, 0].numel()
        sum_squares_backward[ctx.programs](
            planes, v, v_planes, 2 / ctx.count, planes.shape[1], columns, ROWS, COLUMNS
        )
        return v_planes
