"""HexPlane: features of a place and a moment from six planes per level (method.md section 5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from . import kernels

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
        positions: Tensor,  # [K] places in the clip, [0, 1]
    ) -> Tensor:  # [K, N, levels * width]
        if kernels.fit_gpu(means, self.space[0].shape[1]):
            from .triton_planes import read

            return read(means, self.bound, self.space, self.time, self.row(positions))
        axes = (means / self.bound).T  # [3, N]
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

    def _coordinate(self, position):
        """Where a place in the clip lies along the time planes, from -1 to 1."""
        return position if self.half_time else 2 * position - 1

    def row(self, position):
        """Where a place in the clip lies along the time planes, in cells."""
        return (self._coordinate(position) + 1) / 2 * (self.time[0].shape[2] - 1)

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
