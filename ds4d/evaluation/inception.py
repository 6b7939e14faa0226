"""Inception v3 as the Frechet inception distance uses it, in the layout of the published weights.

They are TensorFlow's of 2015, with 1008 classes, ported to PyTorch (pt_inception-2015-12-05). Two
things differ from torchvision's network: averages leave out the padding, and the last block has a
maximum in place of an average.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import inception

CLASSES = 1008


class Inception(nn.Module):
    """Features of images: means over the last layer before the classes."""

    def __init__(self) -> None:
        super().__init__()
        conv = inception.BasicConv2d
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.Mixed_5b = _A(192, pool_features=32)
        self.Mixed_5c = _A(256, pool_features=64)
        self.Mixed_5d = _A(288, pool_features=64)
        self.Mixed_6a = inception.InceptionB(288)
        self.Mixed_6b = _C(768, channels_7x7=128)
        self.Mixed_6c = _C(768, channels_7x7=160)
        self.Mixed_6d = _C(768, channels_7x7=160)
        self.Mixed_6e = _C(768, channels_7x7=192)
        self.Mixed_7a = inception.InceptionD(768)
        self.Mixed_7b = _E(1280)
        self.Mixed_7c = _LastE(2048)
        self.fc = nn.Linear(2048, CLASSES)  # in the weights; not used

    def forward(
        self,
        images: Tensor,  # [N, 3, 299, 299] in [-1, 1]
    ) -> Tensor:  # [N, 2048]
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = F.max_pool2d(x, 3, stride=2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, stride=2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        return x.mean((2, 3))


def _averaged(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _A(inception.InceptionA):
    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch5x5_2(self.branch5x5_1(x))
        deep = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), wide, deep, self.branch_pool(_averaged(x))], 1)


class _C(inception.InceptionC):
    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        deep = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        deep = self.branch7x7dbl_5(self.branch7x7dbl_4(deep))
        return torch.cat([self.branch1x1(x), wide, deep, self.branch_pool(_averaged(x))], 1)


class _E(inception.InceptionE):
    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch3x3_1(x)
        wide = [self.branch3x3_2a(wide), self.branch3x3_2b(wide)]
        deep = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        deep = [self.branch3x3dbl_3a(deep), self.branch3x3dbl_3b(deep)]
        pooled = self.branch_pool(self.pooled(x))
        return torch.cat([self.branch1x1(x), *wide, *deep, pooled], 1)

    def pooled(self, x: Tensor) -> Tensor:
        return _averaged(x)


class _LastE(_E):
    def pooled(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, stride=1, padding=1)
