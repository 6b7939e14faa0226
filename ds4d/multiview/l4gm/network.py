"""L4GM's network (Ren et al. 2024): an asymmetric U-Net with attention over views and over time.

Every pixel of its output is one Gaussian. The modules have the published names, so that published
weights fit key for key. Only inference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...weights import fill, read_state

VIEWS = 4  # of each frame
INPUTS, CHANNELS = 9, 14  # channels of an input picture with its rays, and of a Gaussian
HEADS, GROUPS, EPS = 16, 32, 1e-5
BLOCKS = 2  # residual blocks of a level going down; one more going up
SHRINK = math.sqrt(0.5)  # of the sum of a block's input and output


@dataclass(frozen=True)
class Sizes:
    """Channels of each level, and whether the level has attention."""

    down: tuple[int, ...] = (64, 128, 256, 512, 1024, 1024)
    down_attention: tuple[bool, ...] = (False, False, False, True, True, True)
    up: tuple[int, ...] = (1024, 1024, 512, 256, 128)
    up_attention: tuple[bool, ...] = (True, True, True, False, False)

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> Sizes:
        """Infer the sizes of a checkpoint from its keys and shapes."""

        def levels(side: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
            keys = [key for key in state if key.startswith(f"unet.{side}_blocks.")]
            count = len({key.split(".")[2] for key in keys})
            widths = [len(state.get(f"unet.{side}_blocks.{k}.nets.0.conv1.bias", ()))
                      for k in range(count)]  # fmt: skip
            attended = [f"unet.{side}_blocks.{k}.attns.0.norm.bias" in state for k in range(count)]
            return tuple(widths), tuple(attended)

        return cls(*levels("down"), *levels("up"))


BIG = Sizes()  # of recon.safetensors and interp.safetensors: 466,464,544 values


class Residual(nn.Module):
    """Two convolutions and the way around them."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, inputs, EPS)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, outputs, EPS)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:  # [N, C, h, w]
        inner = self.conv1(F.silu(self.norm1(x)))
        inner = self.conv2(F.silu(self.norm2(inner)))
        return (inner + self.shortcut(x)) * SHRINK


class SelfAttention(nn.Module):
    """Attention of 16 heads among all tokens of a sequence."""

    def __init__(self, width: int):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # [B, L, C]
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Attention(nn.Module):
    """Attention among all pixels of the pictures that belong together; subclasses say which."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, EPS)
        self.attn = SelfAttention(width)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Features [B * T * V, C, h, w] of the same shape; `frames` is T."""
        tokens = self.norm(x).flatten(2).mT.unflatten(0, (-1, frames, VIEWS))  # [B, T, V, h w, C]
        return (x + self.among(tokens).flatten(0, 2).mT.unflatten(2, x.shape[2:])) * SHRINK

    def among(self, tokens: Tensor) -> Tensor:
        """Attention among the tokens [B, T, V, h * w, C] of each group."""
        raise NotImplementedError


class ViewAttention(Attention):
    """Attention among the views of each frame."""

    def among(self, tokens: Tensor) -> Tensor:
        return self.attn(tokens.flatten(2, 3).flatten(0, 1)).view_as(tokens)


class TimeAttention(Attention):
    """Attention among the frames of each view; nothing tells the network their order."""

    def among(self, tokens: Tensor) -> Tensor:
        views = tokens.transpose(1, 2)  # [B, V, T, h * w, C]
        return self.attn(views.flatten(2, 3).flatten(0, 1)).view(views.shape).transpose(1, 2)


class Level(nn.Module):
    """Residual blocks, each followed by attention over views and over time where it has it."""

    def __init__(self, blocks: list[tuple[int, int]], attended: bool):
        super().__init__()
        self.nets = nn.ModuleList(Residual(*channels) for channels in blocks)
        if attended:
            width = blocks[0][1]
            self.attns = nn.ModuleList(ViewAttention(width) for _ in blocks)
            self.t_attns = nn.ModuleList(TimeAttention(width) for _ in blocks)
        self.attended = attended

    def block(self, index: int, x: Tensor, frames: int) -> Tensor:
        """The output of one block and its attention."""
        x = self.nets[index](x)
        if not self.attended:
            return x
        return self.t_attns[index](self.attns[index](x, frames), frames)


class Down(Level):
    """A level on the way down, with a half-size output but for the last."""

    def __init__(self, inputs: int, width: int, attended: bool, last: bool):
        super().__init__([(inputs, width), *[(width, width)] * (BLOCKS - 1)], attended)
        self.downsample = None if last else nn.Conv2d(width, width, 3, 2, 1)

    def forward(self, x: Tensor, frames: int) -> tuple[Tensor, list[Tensor]]:
        """The level's output, and what the way up takes of it."""
        skips = []
        for index in range(BLOCKS):
            x = self.block(index, x, frames)
            skips.append(x)
        if self.downsample is not None:
            x = self.downsample(x)
            skips.append(x)
        return x, skips


class Middle(Level):
    """The lowest level: a block, attention, a block."""

    def __init__(self, width: int):
        super().__init__([(width, width)], True)
        self.nets.append(Residual(width, width))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        return self.nets[1](self.block(0, x, frames))


class Up(Level):
    """A level on the way up, with an output of twice the size but for the last."""

    def __init__(self, inputs: list[int], width: int, attended: bool, last: bool):
        super().__init__([(channels, width) for channels in inputs], attended)
        self.upsample = None if last else nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, skips: list[Tensor], frames: int) -> Tensor:
        """The level's output; it takes its skips from the end of the list."""
        for index in range(len(self.nets)):
            x = self.block(index, torch.cat([x, skips.pop()], 1), frames)
        if self.upsample is None:
            return x
        return self.upsample(F.interpolate(x, scale_factor=2, mode="nearest"))


class UNet(nn.Module):
    """Pictures with rays [B * T * V, 9, H, W] to raw values [B * T * V, 14, H / 2, W / 2]."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        down, up = sizes.down, sizes.up
        self.conv_in = nn.Conv2d(INPUTS, down[0], 3, padding=1)
        before, skips = down[0], [down[0]]
        self.down_blocks = nn.ModuleList()
        for index, width in enumerate(down):
            last = index == len(down) - 1
            self.down_blocks.append(Down(before, width, sizes.down_attention[index], last))
            skips += [width] * (BLOCKS + (not last))
            before = width
        self.mid_block = Middle(before)
        self.up_blocks = nn.ModuleList()
        for index, width in enumerate(up):
            inputs = []
            for _ in range(BLOCKS + 1):
                inputs.append(before + skips.pop())
                before = width
            last = index == len(up) - 1
            self.up_blocks.append(Up(inputs, width, sizes.up_attention[index], last))
        self.unused = len(skips)  # the way up ends below the full size
        self.norm_out = nn.GroupNorm(GROUPS, before, EPS)
        self.conv_out = nn.Conv2d(before, CHANNELS, 3, padding=1)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Raw values; `frames` is T."""
        x = self.conv_in(x)
        skips: list[Tensor | None] = [x]
        for level in self.down_blocks:
            x, own = level(x, frames)
            skips += own
            skips[: self.unused] = [None] * self.unused  # the largest, which nobody reads
            del own
        x = self.mid_block(x, frames)
        for level in self.up_blocks:
            x = level(x, skips, frames)
        return self.conv_out(F.silu(self.norm_out(x)))


class L4GM(nn.Module):
    """Raw values of the Gaussians of T frames from four views of each with their rays."""

    def __init__(self, sizes: Sizes = BIG):
        super().__init__()
        self.unet = UNet(sizes)
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Raw values [B, T, V, 14, h, w] of pictures with rays [B, T, V, 9, H, W]."""
        shape = pictures.shape[:3]
        return self.conv(self.unet(pictures.flatten(0, 2), shape[1])).unflatten(0, shape)


def load(file: Path, device: torch.device, dtype: torch.dtype) -> L4GM:
    """The network of a published checkpoint, ready for inference.

    Raises:
        UserError: the file is missing or damaged, or its keys are not L4GM's.
    """
    state = read_state(file)
    with torch.device("meta"):
        sizes = Sizes.of(state)
        network = L4GM(sizes if all(sizes.down + sizes.up) and sizes.up else BIG)
    network = network.to(dtype).to_empty(device=device)
    fill(network, state, file)
    return network.eval().requires_grad_(False)
