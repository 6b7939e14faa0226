"""The network: a U-Net over the frames of a clip, with attention across them at its coarsest level.

It predicts a distribution over slants, frame by frame; its decoder is conditioned on one slant and
gives the depths that go with it, and where in them the middle of the object is. So two opposite
slants that look alike are never averaged, and whoever knows the slant better can say so. A second
distribution, over azimuths, is a target of the training: to tell which way a body faces, the
network has to tell its head from its rump.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, scaled_dot_product_attention, silu, softplus

FOREGROUND = 1e-3  # smallest alpha that counts
STEEPEST = math.radians(75)  # largest slant
SLANT_BINS = 30  # from -STEEPEST to STEEPEST
AZIMUTH_BINS = 24  # of the whole circle
STRIDE = 16  # pixels of a token at the coarsest level
CONDITION = 128  # width of the decoder's condition


@dataclass(frozen=True)
class Sizes:
    """Widths and depths of the network."""

    pixels: int = 160  # side of the frames
    channels: tuple[int, int, int, int] = (64, 112, 160, 320)  # at 1/2, 1/4, 1/8, 1/16
    blocks: tuple[int, int, int] = (1, 2, 2)  # residual blocks at 1/2, 1/4, 1/8, each way
    seeing: int = 6  # transformer layers before the slant is known
    placing: int = 2  # and after
    reaching: int = 2  # after these, for extents and targets alone


@dataclass
class Encoded:
    """Frames of B clips, as the encoder sees them."""

    features: list[Tensor]  # [B T, C, s, s] at 1/1, 1/2, 1/4, 1/8 and 1/16
    slants: Tensor  # [B, T, SLANT_BINS] logits
    azimuths: Tensor  # [B, T, AZIMUTH_BINS] logits


@dataclass
class Surfaces:
    """Surfaces of the frames [N, S, S] of B clips, in widths of the frame; spreads of a Laplace
    distribution."""

    middle: Tensor  # [N, S, S] depth midway between the first and the last surface
    half: Tensor  # [N, S, S] half the distance between them
    back_colors: Tensor  # [N, 3, S, S] in [0, 1]
    log_spreads: Tensor  # [N, 3, S, S] of the front's depth, the back's, and the back's colours
    extents: Tensor  # [B, T, 2] depths of the nearest and the farthest point of each frame
    targets: Tensor  # [B] depth of the middle of the box that the object fills over the clip

    @property
    def front(self) -> Tensor:
        return self.middle - self.half

    @property
    def back(self) -> Tensor:
        return self.middle + self.half


def slant_bins(device: torch.device | str = "cpu") -> Tensor:
    """Middles of the bins [SLANT_BINS], radians."""
    edges = torch.linspace(-STEEPEST, STEEPEST, SLANT_BINS + 1, device=device)
    return (edges[1:] + edges[:-1]) / 2


def likeliest(chances: Tensor) -> Tensor:
    """Mean slants [...] of the likeliest groups of neighbouring bins, of chances [..., bins]."""
    middles = slant_bins(chances.device)
    near = (middles[:, None] - middles).abs() < 2.5 * (middles[1] - middles[0])
    peak = (chances @ near.to(chances.dtype)).argmax(-1)
    around = chances * near[peak]
    return (around * middles).sum(-1) / around.sum(-1)


class ShapePrior(nn.Module):
    """Depths and hidden colours of clips [B, T, 4, S, S] of premultiplied RGBA."""

    def __init__(self, sizes: Sizes = Sizes()):
        super().__init__()
        self.sizes = sizes
        c1, c2, c3, c4 = sizes.channels
        n1, n2, n3 = sizes.blocks
        self.stem = nn.Conv2d(8, c1, 4, stride=2, padding=1)
        self.down1 = nn.ModuleList(Residual(c1, c1) for _ in range(n1))
        self.to2 = nn.Conv2d(c1, c2, 2, stride=2)
        self.down2 = nn.ModuleList(Residual(c2, c2) for _ in range(n2))
        self.to3 = nn.Conv2d(c2, c3, 2, stride=2)
        self.down3 = nn.ModuleList(Residual(c3, c3) for _ in range(n3))
        self.to4 = nn.Conv2d(c3, c4, 2, stride=2)
        side = sizes.pixels // STRIDE
        self.places = nn.Parameter(0.02 * torch.randn(1, 1, side * side, c4))
        self.seeing = nn.ModuleList(Attention(c4) for _ in range(sizes.seeing))
        self.pose = nn.Sequential(  # from means over a frame and over the clip
            nn.LayerNorm(2 * c4),
            nn.Linear(2 * c4, c4),
            nn.SiLU(),
            nn.Linear(c4, SLANT_BINS + AZIMUTH_BINS),
        )
        self.slant_embedding = nn.Sequential(
            nn.Linear(8, CONDITION), nn.SiLU(), nn.Linear(CONDITION, CONDITION)
        )
        self.slant_shift = nn.Linear(CONDITION, c4)
        self.placing = nn.ModuleList(Attention(c4) for _ in range(sizes.placing))
        self.reaching = nn.ModuleList(Attention(c4) for _ in range(sizes.reaching))
        for layer in self.reaching:  # identities before they are trained
            for last in (layer.merge, layer.mlp[-1]):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
        self.reach = nn.Linear(c4, c4)
        self.target = _head(2 * c4, 1)  # from means over the clip and what reaches farthest
        self.extents = _head(2 * c4, 2)  # from the same of each frame
        self.from4 = nn.ConvTranspose2d(c4, c3, 2, stride=2)
        self.up3 = _stack(2 * c3, c3, n3)
        self.from3 = nn.ConvTranspose2d(c3, c2, 2, stride=2)
        self.up2 = _stack(2 * c2, c2, n2)
        self.from2 = nn.ConvTranspose2d(c2, c1, 2, stride=2)
        self.up1 = _stack(2 * c1, c1, n1 + 1)
        self.from1 = nn.ConvTranspose2d(c1, 24, 2, stride=2)
        self.fine = nn.Conv2d(24 + 8, 32, 3, padding=1)
        self.out = nn.Conv2d(32, 8, 3, padding=1)

    def encode(self, images: Tensor) -> Encoded:
        """Features of every frame, and how likely its slants and azimuths are."""
        B, T = images.shape[:2]
        x = _inputs(images)
        features = [x]
        x = silu(self.stem(x))
        for blocks, onward in (
            (self.down1, self.to2), (self.down2, self.to3), (self.down3, self.to4),
        ):  # fmt: skip
            for block in blocks:
                x = block(x)
            features.append(x)
            x = onward(x)
        side = x.shape[-1]
        tokens = x.flatten(2).mT.unflatten(0, (B, T)) + self.places  # [B, T, side^2, C]
        for index, layer in enumerate(self.seeing):
            tokens = layer(tokens, across=index % 2 == 1)
        covered = _covered(images)
        pooled = (tokens * covered).sum(2) / covered.sum(2).clamp(min=FOREGROUND)
        pooled = torch.cat([pooled, pooled.mean(1, keepdim=True).expand_as(pooled)], -1)
        features.append(tokens.flatten(0, 1).mT.unflatten(2, (side, side)))
        return Encoded(features, *self.pose(pooled).split([SLANT_BINS, AZIMUTH_BINS], -1))

    def decode(self, images: Tensor, features: list[Tensor], slants: Tensor) -> Surfaces:
        """Surfaces of all B * T frames whose slants are [B, T], radians."""
        B, T = slants.shape
        angle = slants.reshape(-1, 1) * torch.arange(1, 5, device=slants.device)
        condition = self.slant_embedding(torch.cat([angle.sin(), angle.cos()], 1))
        *skips, x = features
        tokens = (x.flatten(2).mT + self.slant_shift(condition)[:, None]).unflatten(0, (B, T))
        for index, layer in enumerate(self.placing):
            tokens = layer(tokens, across=index % 2 == 0)
        extents, targets = self._placed(tokens, _covered(images))
        x = tokens.flatten(0, 1).mT.unflatten(2, x.shape[2:])
        for onward, blocks in (
            (self.from4, self.up3), (self.from3, self.up2), (self.from2, self.up1),
        ):  # fmt: skip
            x = torch.cat([onward(x), skips.pop()], 1)
            for block in blocks:
                x = block(x, condition)
        x = torch.cat([self.from1(x), skips.pop()], 1)
        x = self.out(silu(self.fine(x))).float()
        columns = _grid(images.flatten(0, 1))[:, 0]
        plane = slants.reshape(-1, 1, 1).tan() * (columns - _centers(images)) / 2
        half, colors = 0.1 * softplus(x[:, 1]), x[:, 2:5].sigmoid()
        return Surfaces(plane + x[:, 0], half, colors, x[:, 5:], extents, targets)

    def _placed(self, tokens: Tensor, covered: Tensor) -> tuple[Tensor, Tensor]:
        """Extents [B, T, 2] and targets [B] of clips, of tokens [B, T, P, C] and how much of the
        foreground [B, T, P, 1] is in each."""
        for index, layer in enumerate(self.reaching):
            tokens = layer(tokens, across=index % 2 == 0)
        sums, counts = (tokens * covered).sum(2), covered.sum(2)
        farthest = (self.reach(tokens) * (covered > 0)).amax(2)
        means = sums / counts.clamp(min=FOREGROUND)
        extents = self.extents(torch.cat([means, farthest], -1)).float() * (counts > 0)
        middles = (extents[..., 0].amin(1) + extents[..., 1].amax(1)) / 2
        mean = sums.sum(1) / counts.sum(1).clamp(min=FOREGROUND)
        rest = self.target(torch.cat([mean, farthest.amax(1)], -1))[:, 0]
        return extents, middles + rest.float()

    def forward(
        self, images: Tensor, slants: Tensor, own: Tensor | None = None
    ) -> tuple[Surfaces, Encoded]:
        """Surfaces given the slants, or the network's own ones for the clips that `own` [B] marks;
        and what the encoder found."""
        encoded = self.encode(images)
        if own is not None:
            logits = encoded.slants.detach().float()
            found = likeliest((logits + logits.mean(1, keepdim=True)).div(2).softmax(-1))
            slants = torch.where(own[:, None], found, slants)
        return self.decode(images, encoded.features, slants), encoded


class Residual(nn.Module):
    """Two convolutions beside the identity; a condition scales and shifts between them."""

    def __init__(self, inputs: int, outputs: int, condition: int = 0):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.modulate = nn.Linear(condition, 2 * outputs) if condition else None
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        y = self.norm2(self.conv1(silu(self.norm1(x))))
        if self.modulate is not None:
            scale, shift = self.modulate(condition)[..., None, None].chunk(2, 1)
            y = y * (1 + scale) + shift
        return self.skip(x) + self.conv2(silu(y))


class Attention(nn.Module):
    """A transformer layer on tokens [B, T, P, C], within each frame or across the clip."""

    def __init__(self, width: int, heads: int = 8):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, across: bool) -> Tensor:
        groups = x.flatten(1, 2) if across else x.flatten(0, 1)  # [groups, tokens, C]
        qkv = self.qkv(self.norm1(groups)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = scaled_dot_product_attention(*qkv.unbind(0))
        x = x + self.merge(y.transpose(1, 2).reshape(x.shape))
        return x + self.mlp(self.norm2(x))


def _head(inputs: int, outputs: int) -> nn.Sequential:
    """A perceptron that gives zeros before it is trained."""
    last = nn.Linear(inputs // 2, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, inputs // 2), nn.SiLU(), last)


def _stack(inputs: int, outputs: int, count: int) -> nn.ModuleList:
    blocks = [Residual(outputs if i else inputs, outputs, CONDITION) for i in range(count)]
    return nn.ModuleList(blocks)


def _inputs(images: Tensor) -> Tensor:
    """All that is known of each pixel [B T, 8, S, S]: premultiplied RGBA, place, and its least and
    its largest alpha over the clip."""
    alpha = images[:, :, 3:]
    over_time = [alpha.amin(1, keepdim=True), alpha.amax(1, keepdim=True)]
    flat = images.flatten(0, 1)
    known = [flat, _grid(flat), *(a.expand_as(alpha).flatten(0, 1) for a in over_time)]
    return torch.cat(known, 1).contiguous(memory_format=torch.channels_last)


def _covered(images: Tensor) -> Tensor:
    """Share [B, T, P, 1] of the foreground in the pixels of each token."""
    return avg_pool2d(images.flatten(0, 1)[:, 3:], STRIDE).reshape(*images.shape[:2], -1, 1)


def _grid(images: Tensor) -> Tensor:
    """Columns and rows [N, 2, H, W] of pixels, in [-1, 1]."""
    N, _, H, W = images.shape
    column = (2 * torch.arange(W, device=images.device) + 1) / W - 1
    row = (2 * torch.arange(H, device=images.device) + 1) / H - 1
    grid = torch.stack(torch.broadcast_tensors(column, row[:, None]))
    return grid.to(images.dtype).expand(N, -1, -1, -1)


def _centers(images: Tensor) -> Tensor:
    """Mean column [B T, 1, 1] of each clip's foreground, in [-1, 1], repeated for its frames."""
    B, T = images.shape[:2]
    alpha = images[:, :, 3].float()
    column = _grid(images[:, 0])[:, 0].float()
    mean = (alpha.sum(1) * column).sum((1, 2)) / alpha.sum((1, 2, 3)).clamp(min=FOREGROUND)
    return mean.repeat_interleave(T)[:, None, None]


def degrees(logits: Tensor) -> Tensor:
    """Most likely slant [...] of logits [..., bins]."""
    return torch.rad2deg(slant_bins(logits.device)[logits.argmax(-1)])


def soft_targets(slants: Tensor) -> Tensor:
    """Slants [...] as distributions over the bins [..., bins], a bin wide."""
    width = 2 * STEEPEST / SLANT_BINS
    return (-0.5 * ((slants[..., None] - slant_bins(slants.device)) / width) ** 2).softmax(-1)


def azimuth_targets(azimuths: Tensor) -> Tensor:
    """Azimuths [...], radians, as distributions over the bins [..., AZIMUTH_BINS], a bin wide."""
    width = 2 * math.pi / AZIMUTH_BINS
    middles = width * torch.arange(AZIMUTH_BINS, device=azimuths.device)
    return ((azimuths[..., None] - middles).cos() / width**2).softmax(-1)


def parameters(network: nn.Module) -> int:
    """Number of weights."""
    return sum(math.prod(p.shape) for p in network.parameters())
