"""Smoothness and sparseness of planes and their gradient: each in one pass over the planes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS, COLUMNS = 8, 128  # of a program


@triton.jit
def _row(plane, row, rows, columns, inside):
    return tl.load(plane + row * columns, inside & (row >= 0) & (row < rows), 0.0)


@triton.jit
def _place(columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Rows and columns of a program's part of a plane, and whether the latter exist."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    return row, column, column < columns


@triton.jit(do_not_specialize=["sums", "rows"])
def measure(
    planes,  # [3, rows, columns]
    sums,  # [programs], written
    rough,  # weight of squared second differences along the rows
    apart,  # weight of distances to one
    rows,
    columns,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write the weighted sum over a program's part."""
    row, column, inside = _place(columns, ROWS, COLUMNS)
    plane = planes + tl.program_id(2) * rows * columns + column
    here = _row(plane, row, rows, columns, inside)
    second = here - 2 * _row(plane, row + 1, rows, columns, inside)
    second += _row(plane, row + 2, rows, columns, inside)
    penalty = tl.where(row < rows - 2, rough * second * second, 0.0)
    penalty += tl.where(inside & (row < rows), apart * tl.abs(here - 1), 0.0)
    program = tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)
    program = program * tl.num_programs(0) + tl.program_id(0)
    tl.store(sums + program, tl.sum(tl.sum(penalty, 1), 0))


@triton.jit(do_not_specialize=["rows"])
def measure_backward(
    planes,  # as in measure
    v,  # gradient of the sum
    v_planes,  # [3, rows, columns], written
    rough,
    apart,
    rows,
    columns,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
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
    gradient = 2 * rough * (ends - 2 * middle + begins)
    gradient += tl.where(here > 1, apart, tl.where(here < 1, -apart, 0.0))
    tl.store(v_planes + first + row * columns, tl.load(v) * gradient, inside & (row < rows))


def irregularity(
    planes: Sequence[Tensor],  # each [3, C, h, w], h > 2
    rough: float,
    apart: float,
) -> Tensor:
    """Mean squared second differences along the rows times `rough`, plus mean distances from one
    times `apart`; of each single plane, summed."""
    return _Irregularity.apply(
        rough, apart, *(plane.permute(0, 2, 3, 1).contiguous() for plane in planes)
    )


class _Irregularity(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rough, apart, *planes):  # each [3, h, w, C]
        launches = [_Launch(plane.shape, rough, apart) for plane in planes]
        sums = planes[0].new_empty(sum(launch.programs for launch in launches))
        parts = sums.split([launch.programs for launch in launches])
        for plane, part, launch in zip(planes, parts, launches, strict=True):
            measure[launch.grid](plane, part, *launch.sizes, ROWS, COLUMNS)
        ctx.save_for_backward(*planes)
        ctx.launches = launches
        return sums.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, v):
        gradients = []
        for plane, launch in zip(ctx.saved_tensors, ctx.launches, strict=True):
            gradients.append(torch.empty_like(plane))
            measure_backward[launch.grid](plane, v, gradients[-1], *launch.sizes, ROWS, COLUMNS)
        return None, None, *gradients


class _Launch:
    """Grid and arguments of a launch over planes [B, h, w, C]."""

    def __init__(self, shape: torch.Size, rough: float, apart: float):
        B, rows, columns = shape[0], shape[1], shape[2] * shape[3]
        self.grid = triton.cdiv(columns, COLUMNS), triton.cdiv(rows, ROWS), B
        self.programs = self.grid[0] * self.grid[1] * B
        self.sizes = rough / ((rows - 2) * columns), apart / (rows * columns), rows, columns
