"""HexPlane: features of a place and a moment from six planes per level (method.md section 5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

SPACE_PAIRS = ((0, 1), (0, 2), (1, 2))  # xy, xz, yz: the first axis runs along a plane's width


class HexPlane(nn.Module):
    """Planes over pairs of x, y, z and over each of them with time, multiplied and concatenated.

    Args:
        size: cells of the coarsest level along each axis of space; each level doubles them.
        times: cells along time, at every level.
        width: channels per level; the output has levels * width.
        bound: half side of the covered cube, world units; beyond it the border value holds.
        half_time: the clip's time [0, 1] covers only the upper half of the cells, as in the
            published code (method.md section 5), instead of all of them.
    """

    def __init__(
        self, size: int, times: int, levels: int, width: int, bound: float, half_time: bool
    ):
        super().__init__()
        self.bound = bound
        self.half_time = half_time
        sizes = [size * 2**level for level in range(levels)]
        self.space = nn.ParameterList([_planes(width, s, s) for s in sizes])
        self.time = nn.ParameterList([_planes(width, times, s) for s in sizes])

    def reset(self, generator: torch.Generator) -> None:
        """Space planes uniform in [0.1, 0.5], time planes one: nothing depends on time at first."""
        with torch.no_grad():
            for plane in self.space:
                plane.copy_(torch.empty(plane.shape).uniform_(0.1, 0.5, generator=generator))
            for plane in self.time:
                plane.fill_(1)

    def forward(
        self,
        means: Tensor,  # [N, 3] world
        position: float,  # place in the clip, [0, 1]
    ) -> Tensor:  # [N, levels * width]
        coordinates = means / self.bound
        pairs = torch.stack([coordinates[:, pair] for pair in SPACE_PAIRS])[:, None]
        lines = torch.stack([coordinates.T, torch.zeros_like(coordinates.T)], -1)[:, None]
        levels = []
        for space, time in zip(self.space, self.time, strict=True):
            xy, xz, yz = _sample(space, pairs)
            # All points share the moment, so each time plane is reduced to a line first.
            x, y, z = _sample(self._line(time, position), lines)
            levels.append(xy * xz * yz * (x * y * z))
        return torch.cat(levels)[:, 0].T

    def _line(self, plane: Tensor, position: float) -> Tensor:
        """A time plane [3, C, K, S] at one moment, [3, C, 1, S]."""
        row = self.row(position)
        below = min(int(row), plane.shape[2] - 2)
        before, after = plane[:, :, below : below + 1], plane[:, :, below + 1 : below + 2]
        return torch.lerp(before, after, row - below)

    def row(self, position: float) -> float:
        """Where a place in the clip lies along the time planes, in cells."""
        coordinate = position if self.half_time else 2 * position - 1
        return (coordinate + 1) / 2 * (self.time[0].shape[2] - 1)

    def smoothness(self) -> tuple[Tensor, Tensor]:
        """Mean squared second differences of the time planes along time, and of the space planes
        along their rows, each summed over planes and levels (method.md section 5)."""
        time = sum(_roughness(plane) for plane in self.time)
        return time, sum(_roughness(plane) for plane in self.space)

    def sparseness(self) -> Tensor:
        """Mean distance of the time planes from one, summed over planes and levels."""
        return sum((plane - 1).abs().mean((1, 2, 3)).sum() for plane in self.time)


def _planes(width: int, rows: int, columns: int) -> nn.Parameter:
    """Three planes [3, width, rows, columns] of ones; channels lie last in memory.

    A look-up needs all the channels of few cells: so it finds them beside each other.
    """
    ones = torch.ones(3, width, rows, columns)
    return nn.Parameter(ones.contiguous(memory_format=torch.channels_last))


def _sample(planes: Tensor, grid: Tensor) -> Tensor:
    """Planes [B, C, h, w] at coordinates [B, 1, N, 2] in [-1, 1]: [B, C, 1, N]."""
    return grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=True)


def _roughness(planes: Tensor) -> Tensor:
    second = planes[:, :, 2:] - 2 * planes[:, :, 1:-1] + planes[:, :, :-2]
    return second.square().mean((1, 2, 3)).sum()
