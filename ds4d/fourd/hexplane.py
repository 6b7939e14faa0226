"""HexPlane (Cao and Johnson 2023): features of a place and a moment from six planes per level, as
4D-GS uses them (docs/method.md, section 5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from ..kernels import dispatch

SPACE_PAIRS = ((0, 1), (0, 2), (1, 2))  # xy, xz, yz: the first axis runs along a plane's width


class HexPlane(nn.Module):
    """Planes over pairs of x, y, z and over each of them with time, multiplied and concatenated.

    Parameters, for each level: `space` [3, width, S, S], the planes xy, xz and yz, and `time`
    [3, width, times, S], the planes over x, y and z. Channels lie last in memory: a look-up needs
    all the channels of few cells, and so finds them beside each other.

    Args:
        size: cells S of the coarsest level along each axis of space; each level doubles them.
        times: cells along time, at every level.
        levels: number of levels.
        width: channels per level; the output has levels * width.
        bound: half side of the covered cube, world units. Beyond it the border value holds.
        half_time: the clip's time [0, 1] covers only the upper half of the cells, as in the
            published code, instead of all of them.
    """

    def __init__(
        self, size: int, times: int, levels: int, width: int, bound: float, half_time: bool
    ):
        super().__init__()
        self.width, self.bound, self.half_time = width, bound, half_time
        sizes = [size * 2**level for level in range(levels)]
        self.space = nn.ParameterList([_ones(3, width, side, side) for side in sizes])
        self.time = nn.ParameterList([_ones(3, width, times, side) for side in sizes])

    def reset(self, generator: torch.Generator) -> None:
        """Draw space planes from [0.1, 0.5] and set time planes to one: nothing depends on time
        at first."""
        with torch.no_grad():
            for planes in self.space:
                planes.copy_(torch.empty(planes.shape).uniform_(0.1, 0.5, generator=generator))
            for planes in self.time:
                planes.fill_(1)

    def forward(
        self,
        means: Tensor,  # [N, 3] world
        positions: Tensor,  # [K] places in the clip, [0, 1]
    ) -> Tensor:  # [K, N, levels * width]
        inside = self.inside(means)
        if kernels := dispatch.kernels("hexplane", means):
            return kernels.read(inside, self.space, self.time, self.row(positions))
        pairs = [inside[None, :, pair] for pair in SPACE_PAIRS]  # [1, N, 2]: for all moments
        moments = self._coordinate(positions)[:, None].expand(-1, len(inside))
        lines = [torch.stack([x.expand_as(moments), moments], -1) for x in inside.T]  # [K, N, 2]
        levels = []
        for space, time in zip(self.space, self.time, strict=True):
            xy, xz, yz = (_sample(*each) for each in zip(space, pairs, strict=True))
            x, y, z = (_sample(*each) for each in zip(time, lines, strict=True))
            levels.append(xy * xz * yz * (x * y * z))
        return torch.cat(levels).permute(1, 2, 0)

    def inside(self, means: Tensor) -> Tensor:
        """Centres [N, 3] in the cube, from -1 at the first cells to 1 at the last."""
        return means / self.bound

    def _coordinate(self, position):
        """A place in the clip along the time planes, from -1 to 1."""
        return position if self.half_time else 2 * position - 1

    def row(self, position):
        """A place in the clip along the time planes, in cells."""
        return (self._coordinate(position) + 1) / 2 * (self.time[0][0].shape[-2] - 1)

    def smoothness(self) -> tuple[Tensor, Tensor]:
        """Mean squared second differences of the time planes along time, and of the space planes
        along their rows, each summed over planes and levels."""
        time = sum(_roughness(plane) for planes in self.time for plane in planes)
        return time, sum(_roughness(plane) for planes in self.space for plane in planes)

    def sparseness(self) -> Tensor:
        """Mean distance of the time planes from one, summed over planes and levels."""
        return sum((plane - 1).abs().mean() for planes in self.time for plane in planes)


def _ones(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(shape).contiguous(memory_format=torch.channels_last))


def _sample(
    plane: Tensor,  # [C, h, w]
    places: Tensor,  # [K, N, 2] in [-1, 1]
) -> Tensor:  # [C, K, N]
    """Bilinear, corners aligned; beyond the plane its border holds."""
    return grid_sample(
        plane[None], places[None], mode="bilinear", padding_mode="border", align_corners=True
    )[0]


def _roughness(plane: Tensor) -> Tensor:
    second = plane[:, 2:] - 2 * plane[:, 1:-1] + plane[:, :-2]
    return second.square().mean()
