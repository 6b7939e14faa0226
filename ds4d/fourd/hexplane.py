"""HexPlane: features of a place and a moment from six planes per level (method.md section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from ..kernels import dispatch

SPACE_PAIRS = ((0, 1), (0, 2), (1, 2))  # xy, xz, yz: the first axis runs along a plane's width


class HexPlane(nn.Module):
    """Planes over pairs of x, y, z and over each of them with time, multiplied and concatenated.

    Args:
        size: cells of the coarsest level along each axis of space, or along x, y and z; each level
            doubles them.
        times: cells along time, at every level.
        width: channels per level; the output has levels * width.
        box: half side of the covered cube, or the corners [2, 3] of a box where the first and the
            last cells are; world units. Beyond it the border value holds.
        half_time: the clip's time [0, 1] covers only the upper half of the cells, as in the
            published code (method.md section 5), instead of all of them.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        times: int,
        levels: int,
        width: int,
        box: float | Tensor,
        half_time: bool,
    ):
        super().__init__()
        self.width = width
        self.half_time = half_time
        first, last = box if isinstance(box, Tensor) else torch.tensor([[-box] * 3, [box] * 3])
        self.register_buffer("centre", (first + last) / 2, persistent=False)
        self.register_buffer("reach", (last - first) / 2, persistent=False)
        axes = (size,) * 3 if isinstance(size, int) else tuple(size)
        self.even = len(set(axes)) == 1  # as kernels need it: three planes in one tensor
        self.space, self.time = nn.ParameterList(), nn.ParameterList()
        for level in range(levels):
            cells = [axis * 2**level for axis in axes]
            self.space.append(_planes(width, [(cells[b], cells[a]) for a, b in SPACE_PAIRS]))
            self.time.append(_planes(width, [(times, cell) for cell in cells]))

    def reset(self, generator: torch.Generator) -> None:
        """Space planes uniform in [0.1, 0.5], time planes one: nothing depends on time at first."""
        with torch.no_grad():
            for plane in self.space.parameters():
                plane.copy_(torch.empty(plane.shape).uniform_(0.1, 0.5, generator=generator))
            for plane in self.time.parameters():
                plane.fill_(1)

    def forward(
        self,
        means: Tensor,  # [N, 3] world
        positions: Tensor,  # [K] places in the clip, [0, 1]
    ) -> Tensor:  # [K, N, levels * width]
        inside = self.inside(means)
        if self.even and dispatch.fit_gpu(means, self.width):
            from ..kernels.triton.hexplane import read

            return read(inside, self.space, self.time, self.row(positions))
        axes = inside.T  # [3, N]
        pairs = torch.stack([torch.stack([axes[a], axes[b]], -1) for a, b in SPACE_PAIRS])[:, None]
        x_y_z = axes[:, None].expand(-1, len(positions), -1)  # [3, K, N]
        moments = self._coordinate(positions)[:, None].expand_as(x_y_z)
        lines = torch.stack([x_y_z, moments], -1)
        levels = []
        for space, time in zip(self.space, self.time, strict=True):
            xy, xz, yz = _sample(space, pairs)  # [C, 1, N]: all moments share them
            x, y, z = _sample(time, lines)  # [C, K, N]
            levels.append(xy * xz * yz * (x * y * z))
        return torch.cat(levels).permute(1, 2, 0)

    def inside(self, means: Tensor) -> Tensor:
        """Where centres [N, 3] lie in the box, from -1 at the first cells to 1 at the last."""
        return (means - self.centre) / self.reach

    def _coordinate(self, position):
        """Where a place in the clip lies along the time planes, from -1 to 1."""
        return position if self.half_time else 2 * position - 1

    def row(self, position):
        """Where a place in the clip lies along the time planes, in cells."""
        return (self._coordinate(position) + 1) / 2 * (self.time[0][0].shape[1] - 1)

    def smoothness(self) -> tuple[Tensor, Tensor]:
        """Mean squared second differences of the time planes along time, and of the space planes
        along their rows, each summed over planes and levels (method.md section 5)."""
        time = sum(_roughness(planes) for level in self.time for planes in _tensors(level))
        return time, sum(_roughness(planes) for level in self.space for planes in _tensors(level))

    def sparseness(self) -> Tensor:
        """Mean distance of the time planes from one, summed over planes and levels."""
        apart = [(planes - 1).abs() for level in self.time for planes in _tensors(level)]
        return sum(planes.mean((1, 2, 3)).sum() for planes in apart)


def _planes(width: int, sizes: list[tuple[int, int]]) -> nn.Parameter | nn.ParameterList:
    """Planes of ones of some rows and columns: one tensor [3, width, rows, columns] where all have
    as many, else each [width, rows, columns] for itself. Channels lie last in memory.

    A look-up needs all the channels of few cells: so it finds them beside each other.
    """
    if len(set(sizes)) == 1:
        ones = torch.ones(len(sizes), width, *sizes[0])
        return nn.Parameter(ones.contiguous(memory_format=torch.channels_last))
    return nn.ParameterList([torch.ones(*size, width).permute(2, 0, 1) for size in sizes])


def _tensors(planes: Tensor | nn.ParameterList) -> list[Tensor]:
    """The planes of a level as tensors [B, C, h, w], as few as there can be."""
    return [planes] if isinstance(planes, Tensor) else [plane[None] for plane in planes]


def _sample(
    planes: Tensor | nn.ParameterList,  # of a level, B
    grid: Tensor,  # [B, K, N, 2] in [-1, 1]
) -> Tensor:  # [B, C, K, N]
    tensors = _tensors(planes)
    sampled = [
        grid_sample(tensor, places, mode="bilinear", padding_mode="border", align_corners=True)
        for tensor, places in zip(tensors, grid.chunk(len(tensors)), strict=True)
    ]
    return torch.cat(sampled)


def _roughness(planes: Tensor) -> Tensor:
    second = planes[:, :, 2:] - 2 * planes[:, :, 1:-1] + planes[:, :, :-2]
    return second.square().mean((1, 2, 3)).sum()
