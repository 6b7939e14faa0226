"""I3D (Carreira and Zisserman 2017), the network of FVD, in the layout of i3d_pretrained_400.pt."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 400  # of Kinetics
# Input channels of each Inception block, and those of its branches: 1 x 1; 1 x 1 and 3 x 3, twice;
# 1 x 1 after pooling.
MIXED = {
    "3b": (192, (64, 96, 128, 16, 32, 32)), "3c": (256, (128, 128, 192, 32, 96, 64)),
    "4b": (480, (192, 96, 208, 16, 48, 64)), "4c": (512, (160, 112, 224, 24, 64, 64)),
    "4d": (512, (128, 128, 256, 24, 64, 64)), "4e": (512, (112, 144, 288, 32, 64, 64)),
    "4f": (528, (256, 160, 320, 32, 128, 128)), "5b": (832, (256, 160, 320, 32, 128, 128)),
    "5c": (832, (384, 192, 384, 48, 128, 128)),
}  # fmt: skip


class I3D(nn.Module):
    """Logits of videos."""

    def __init__(self, narrower: int = 1):
        """Args: narrower: divides all channels, for tests."""
        super().__init__()
        n = narrower
        self.Conv3d_1a_7x7 = Unit(3, 64 // n, 7, stride=2)
        self.Conv3d_2b_1x1 = Unit(64 // n, 64 // n, 1)
        self.Conv3d_2c_3x3 = Unit(64 // n, 192 // n, 3)
        for name, (inputs, outputs) in MIXED.items():
            block = Mixed(inputs // n, tuple(channels // n for channels in outputs))
            self.add_module(f"Mixed_{name}", block)
        self.logits = Unit(1024 // n, CLASSES, 1, last=True)

    def forward(
        self,
        video: Tensor,  # [B, 3, T, 224, 224] in [-1, 1], T at least 9
    ) -> Tensor:  # [B, 400], averaged over time
        x = _pooled(self.Conv3d_1a_7x7(video), (1, 3, 3), (1, 2, 2))
        x = _pooled(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        for name in MIXED:
            if name == "4b":
                x = _pooled(x, (3, 3, 3), (2, 2, 2))
            elif name == "5b":
                x = _pooled(x, (2, 2, 2), (2, 2, 2))
            x = getattr(self, f"Mixed_{name}")(x)
        x = F.avg_pool3d(x, (2, 7, 7), stride=1)
        return self.logits(x)[..., 0, 0].mean(2)


class Unit(nn.Module):
    """Convolution, normalization and ReLU; the last one has a bias instead."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, last: bool = False):
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, size, stride, bias=last)
        if not last:
            self.bn = nn.BatchNorm3d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3d(_padded(x, self.conv3d.kernel_size, self.conv3d.stride))
        return F.relu(self.bn(x)) if hasattr(self, "bn") else x


class Mixed(nn.Module):
    """An Inception block: four branches side by side."""

    def __init__(self, inputs: int, outputs: tuple[int, ...]):
        super().__init__()
        self.b0 = Unit(inputs, outputs[0], 1)
        self.b1a, self.b1b = Unit(inputs, outputs[1], 1), Unit(outputs[1], outputs[2], 3)
        self.b2a, self.b2b = Unit(inputs, outputs[3], 1), Unit(outputs[3], outputs[4], 3)
        self.b3b = Unit(inputs, outputs[5], 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = _pooled(x, (3, 3, 3), (1, 1, 1))
        return torch.cat(
            [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], 1
        )


def _pooled(x: Tensor, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    return F.max_pool3d(_padded(x, size, stride), size, stride)


def _padded(x: Tensor, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Zeros around [B, C, T, H, W], as TensorFlow's SAME padding: the odd one comes last."""
    pads: list[int] = []
    for length, kernel, step in zip(x.shape[:1:-1], size[::-1], stride[::-1], strict=True):
        missing = max((math.ceil(length / step) - 1) * step + kernel - length, 0)
        pads += [missing // 2, missing - missing // 2]
    return F.pad(x, pads)
