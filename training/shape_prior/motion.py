"""Random deformations, turns and cameras of clips, while training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

Points = tuple[Tensor, Tensor, Tensor]  # x, y, z

QUARTERS = 0.3  # share of the clips in three-quarter view
MILDEST = 0.3  # of the random deformations, as a share of the strongest
SWAYING = 0.2  # share of the animated clips that bend and turn over time beside their own motion
TRAVELS = 0.15  # share of the clips in which the object moves through the frame


@dataclass(frozen=True)
class Variation:
    """Spread of the random changes. Zero leaves objects and mattes as they are."""

    shape: float = 1.0  # scales, bends, warps
    sway: float = 1.0  # motion that is added
    image: float = 1.0  # light, colours, matte

    @classmethod
    def none(cls) -> Variation:
        return cls(0.0, 0.0, 0.0)


VARIED = Variation()


class Motion:
    """Random deformations, turns and cameras of B clips of T frames; maps rest poses to cameras."""

    def __init__(
        self, moving: Tensor, frames: int, rng: torch.Generator, spread: Variation = VARIED
    ):
        B, T, device = len(moving), frames, moving.device
        self.spread = spread

        def normal(*shape: int) -> Tensor:
            return torch.randn(B, *shape, device=device, generator=rng)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(B, *shape, device=device, generator=rng)

        time = torch.linspace(-1, 1, T, device=device) if T > 1 else torch.zeros(1, device=device)
        sway = spread.sway * (~moving[:, None] | (uniform(1) < SWAYING)).float()  # [B, 1]
        wave = (2 * math.pi * uniform(1) + (1 + 2 * uniform(1)) * time).sin()  # [B, T]
        shape = spread.shape * (MILDEST + (1 - MILDEST) * uniform(1))  # [B, 1]
        self.scales = (0.16 * shape * normal(3)).exp()
        if spread.shape > 0:
            self.scales[:, 0] *= torch.where(uniform() < 0.5, 1.0, -1.0)  # mirror images
        # Smooth waves: p + amplitude sin(frequency p + phase)
        self.frequencies = 5 * normal(3, 3)
        self.phases = (
            2 * math.pi * uniform(3)[:, None]
            + sway[..., None] * normal(3)[:, None] * (time[:, None])
        )  # [B, T, 3]
        self.amplitudes = 0.015 * shape[..., None] * normal(3, 3)
        # Bends: turns about an axis in proportion to the place along another one
        bends = (uniform(4) < 0.5).float() * normal(4) * shape * 0.5
        self.bends = bends[:, None] + 0.3 * (sway * wave)[..., None] * normal(4)[:, None]
        # Growth of all that is beyond a plane: large heads, long or short legs, thick tails
        outward = normal(3)
        self.outward = outward / outward.norm(dim=1, keepdim=True)
        self.rooted = 0.05 + 0.25 * uniform()
        grown = (uniform(1) < 0.6).float() * (0.35 * shape * normal(1)).clamp(-0.7, 0.7)
        self.growth = grown[:, 0].exp() - 1
        # A turn of all that is beyond a plane, as of a head or a trunk
        normals = normal(3) * torch.tensor([0.4, 1.0, 1.0], device=device)
        self.normals = normals / normals.norm(dim=1, keepdim=True)
        self.beyond = 0.1 + 0.25 * uniform()
        turn = (uniform(1) < 0.5).float() * (normal(1) * shape + sway * 0.5 * wave)
        axis = normal(3)
        self.axes = axis / axis.norm(dim=1, keepdim=True)
        self.turns = 0.35 * turn.expand(B, T)

        # A way through the frame, most of it level
        travels = spread.sway * (uniform(1) < TRAVELS).float()[..., None]
        there = time[:, None] * normal(3)[:, None] + wave[..., None] * normal(3)[:, None]
        self.way = travels * there * torch.tensor([0.1, 0.1, 0.03], device=device)  # [B, T, 3]

        quarter = ((4 * uniform(1)).floor() + 0.5) * math.pi / 2 + math.radians(15) * normal(1)
        yaw = torch.where(uniform(1) < QUARTERS, quarter, 2 * math.pi * uniform(1))
        yaw = yaw + math.radians(3) * spread.sway * normal(1) * wave
        spins = (uniform(1) < 0.12).float() * spread.sway
        self.yaw = yaw + spins * math.radians(60) * normal(1) * time
        level = uniform(1) < 0.7
        elevation = torch.where(level, 3 * normal(1), -10 + 40 * uniform(1))
        self.elevation = torch.deg2rad(elevation * min(1, spread.shape)).expand(B, T)
        self.roll = torch.deg2rad(2 * spread.shape * normal(1)).expand(B, T)
        fov = torch.deg2rad(torch.where(uniform() < 0.6, 30.0, 15 + 35 * uniform()))
        fov = fov if spread.shape > 0 else torch.full_like(fov, math.radians(30))
        self.distance = 0.5 / (fov / 2).tan()
        self.fill = 0.75 + 0.2 * uniform() if spread.shape > 0 else torch.full_like(fov, 0.9)
        self.offset = (uniform(2) - 0.5) * (1 - self.fill)[:, None] * min(1, spread.shape)

    def pose(self, points: Points) -> Points:
        """Camera coordinates (x right, y down, z forward, origin in the object) of [B, T, N]."""
        return self.seen(self.shaped(points), self.yaw)

    def shaped(self, points: Points) -> Points:
        """Deformed points [B, T, N], in the object's axes."""
        x, y, z = (p * self.scales[:, i, None, None] for i, p in enumerate(points))
        if self.spread.shape > 0:
            x, y, z = self._grown(*self._waved(x, y, z))
            x, y = _turned(x, y, self.bends[..., 0:1] * y)  # the spine sideways
            y, z = _turned(y, z, self.bends[..., 1:2] * y)  # up and down
            x, z = _turned(x, z, self.bends[..., 2:3] * z)  # a lean
            y, z = _turned(y, z, self.bends[..., 3:4] * z)  # a bow
            x, y, z = self._hinged(x, y, z)
        return tuple(p + self.way[..., i, None] for i, p in enumerate((x, y, z)))

    def seen(self, points: Points, yaw: Tensor) -> Points:
        """Camera coordinates of deformed points [B, T, N], from azimuths [B, T]."""
        x, y, z = points
        x, y = _turned(x, y, -yaw[..., None])
        z, y = _turned(z, y, -self.elevation[..., None])
        right, down = _turned(x, -z, self.roll[..., None])
        return right, down, y

    def target(self, shaped: Points) -> Tensor:
        """Depth [B] of what truth cases' cameras look at: the middle, in the object's axes, of the
        box that deformed points [B, T, N] fill over the clip."""
        mean = self.yaw.mean(1, keepdim=True)
        x, y, z = shaped
        turned = (*_turned(x, y, (mean - self.yaw)[..., None]), z)
        middle = tuple((p.amin((1, 2)) + p.amax((1, 2)))[:, None, None] / 2 for p in turned)
        return self.seen(tuple(p.expand_as(self.yaw[..., None]) for p in middle), mean)[2][:, 0, 0]

    def _waved(self, *points: Tensor) -> Points:
        moved = points
        for wave in range(3):
            phase = self.phases[:, :, wave, None]
            for axis, p in enumerate(points):
                phase = phase + self.frequencies[:, wave, axis, None, None] * p
            phase = phase.sin()
            moved = tuple(
                p + self.amplitudes[:, wave, axis, None, None] * phase
                for axis, p in enumerate(moved)
            )
        return moved

    def _grown(self, *points: Tensor) -> Points:
        normal = [self.outward[:, i, None, None] for i in range(3)]
        p = [q - n * self.rooted[:, None, None] for q, n in zip(points, normal, strict=True)]
        out = sum(n * q for n, q in zip(normal, p, strict=True))
        growth = self.growth[:, None, None] * torch.sigmoid(out / 0.04)
        return tuple(q + growth * r for q, r in zip(points, p, strict=True))

    def _hinged(self, *points: Tensor) -> Points:
        """Rodrigues' formula, with an angle that grows from 0 to its whole beyond a plane."""
        normal = [self.normals[:, i, None, None] for i in range(3)]
        p = [q - n * self.beyond[:, None, None] for q, n in zip(points, normal, strict=True)]
        out = sum(n * q for n, q in zip(normal, p, strict=True))
        angle = torch.sigmoid(out / 0.04) * self.turns[..., None]
        axis = [self.axes[:, i, None, None] for i in range(3)]
        cos, sin = angle.cos(), angle.sin()
        along = sum(a * q for a, q in zip(axis, p, strict=True)) * (1 - cos)
        return tuple(
            points[i] - p[i] + p[i] * cos + axis[i] * along
            + (axis[i - 2] * p[i - 1] - axis[i - 1] * p[i - 2]) * sin
            for i in range(3)
        )  # fmt: skip

    def project(self, points: Points, target: Tensor) -> tuple[Points, Tensor]:
        """Places in the frame [B, T, N]: column and row in [0, 1], depth, all in its widths; and a
        depth [B] in these."""
        x, y, z = points
        distance = self.distance[:, None, None]
        scale = distance / (distance + z).clamp(min=0.1)
        u, v = x * scale, y * scale
        low = torch.stack([u.amin((1, 2)), v.amin((1, 2))], 1)
        high = torch.stack([u.amax((1, 2)), v.amax((1, 2))], 1)
        zoom = self.fill / (high - low).amax(1).clamp(min=1e-3)  # [B]
        shift = 0.5 + self.offset - (low + high) / 2 * zoom[:, None]
        target, zoom = target * zoom, zoom[:, None, None]
        u, v = u * zoom + shift[:, 0, None, None], v * zoom + shift[:, 1, None, None]
        return (u, v, z * zoom), target


def _turned(a: Tensor, b: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = angle.cos(), angle.sin()
    return a * cos - b * sin, a * sin + b * cos
