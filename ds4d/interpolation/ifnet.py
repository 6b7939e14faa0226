"""IFNet of RIFE 4.6: motion from a moment in between to both frames, refined at four scales.

Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation" (ECCV 2022);
names and shapes are those of the published weights, flownet_v4.6.pkl.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS, SCALES = (192, 128, 96, 64), (8, 4, 2, 1)  # of the blocks, from coarse to fine
DEPTH = 8  # residual layers of a block
SLOPE = 0.2  # of its activations below 0
MULTIPLE = 32  # pixels that the sides are a multiple of: the coarsest block works at a 32nd


class IFNet(nn.Module):
    """Flow and mask between two images."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        for index, width in enumerate(widths):
            # Two images and the moment; later also the mask and the flow so far.
            channels = 7 if index == 0 else 12
            self.add_module(f"block{index}", Block(channels, width))

    def forward(
        self,
        first: Tensor,  # [N, 3, H, W] in [0, 1]; sides are multiples of MULTIPLE
        second: Tensor,  # [N, 3, H, W]
        share: float,  # of the time from the first to the second, in (0, 1)
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Offsets from each pixel in between to the first and to the second frame, [N, 2, H, W]
        pixels (x, y), and the weight of the first frame there, [N, 1, H, W] in [0, 1]."""
        moment = torch.full_like(first[:, :1], share)
        flow, mask = self.block0(torch.cat([first, second, moment], 1), None, SCALES[0])
        for block, scale in zip(list(self.children())[1:], SCALES[1:], strict=True):
            seen = [warped(first, flow[:, :2]), warped(second, flow[:, 2:]), moment, mask]
            change, more = block(torch.cat(seen, 1), flow, scale)
            flow, mask = flow + change, mask + more
        return flow[:, :2], flow[:, 2:], torch.sigmoid(mask)


class Block(nn.Module):
    """Flow and mask, or their change, at one scale."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.conv0 = nn.Sequential(_halving(channels, width // 2), _halving(width // 2, width))
        self.convblock = nn.Sequential(*(Residual(width) for _ in range(DEPTH)))
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(width, 24, 4, 2, 1), nn.PixelShuffle(2))

    def forward(self, seen: Tensor, flow: Tensor | None, scale: int) -> tuple[Tensor, Tensor]:
        seen = _resized(seen, 1 / scale)
        if flow is not None:
            seen = torch.cat([seen, _resized(flow, 1 / scale) / scale], 1)
        found = _resized(self.lastconv(self.convblock(self.conv0(seen))), scale)
        return found[:, :4] * scale, found[:, 4:5]  # the sixth channel is not used


class Residual(nn.Module):
    """A convolution whose strength is learned for every channel, added to what it sees."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, 1, 1)
        self.beta = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, seen: Tensor) -> Tensor:
        return F.leaky_relu(self.conv(seen) * self.beta + seen, SLOPE)


def warped(image: Tensor, offsets: Tensor) -> Tensor:
    """The image [N, C, H, W] sampled at each pixel plus its offset [N, 2, H, W], pixels (x, y).

    Beyond the border are the pixels of the border.
    """
    height, width = image.shape[-2:]
    rows = torch.arange(height, device=image.device, dtype=image.dtype)[:, None]
    columns = torch.arange(width, device=image.device, dtype=image.dtype)[None]
    x = (columns + offsets[:, 0]) * (2 / (width - 1)) - 1
    y = (rows + offsets[:, 1]) * (2 / (height - 1)) - 1
    places = torch.stack([x, y], -1)
    return F.grid_sample(image, places, padding_mode="border", align_corners=True)


def _halving(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, 2, 1), nn.LeakyReLU(SLOPE))


def _resized(image: Tensor, factor: float) -> Tensor:
    return F.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)
