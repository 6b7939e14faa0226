"""Random light and colours of clips while training, and the faults of their mattes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ds4d.multiview.shape_prior.network import FOREGROUND

from .motion import Points

SMOOTH, HOLLOW = 7, 21  # pixels: sides of the squares over which normals and hollows are found
STEEP = 3.0  # largest slope of smooth normals


class Light:
    """A random light, exposure and change of colours for each of B clips."""

    def __init__(self, clips: int, device: torch.device, rng: torch.Generator, spread: float):
        def normal(*shape: int) -> Tensor:
            return torch.randn(clips, *shape, device=device, generator=rng)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(clips, *shape, device=device, generator=rng)

        direction = normal(3) + torch.tensor([0.0, -1.5, -1.5], device=device)
        self.direction = direction / direction.norm(dim=1, keepdim=True)
        self.ambient = torch.where(uniform(1) < 0.15, 1.0, 0.35 + 0.65 * uniform(1))
        self.smooth = (2 * uniform(1) - 0.5).clamp(0, 1)  # share of smooth shading in flat one
        self.occlusion = spread * (12 * uniform(1) - 4).clamp(min=0)  # of light in hollows
        self.gloss = spread * (uniform(1) - 0.7).clamp(min=0)
        self.exposure = (0.2 * spread * normal(1)).exp()
        mixing = torch.eye(3, device=device) + 0.15 * spread * normal(3, 3)
        other = torch.eye(3, device=device)[
            torch.rand(clips, 3, device=device, generator=rng).argsort(1)
        ]
        hue = (uniform(1, 1) < 0.3 * spread).float()
        mixing = mixing @ (hue * other + (1 - hue) * torch.eye(3, device=device))
        self.mixing = mixing / mixing.sum(2, keepdim=True)  # greys stay grey
        self.gamma = (0.25 * spread * normal(1)).exp()
        patterned = (uniform(1, 1) < 0.25 * spread).float()
        self.pattern = patterned * 0.12 * (normal(2, 1) + 0.4 * normal(2, 3))  # waves of colour
        self.frequencies, self.phases = 12 * normal(2, 3), 6.28 * uniform(2)

    def color(self, colors: Tensor, index: Tensor, rest: Points) -> Tensor:
        """Albedo [B, T, P, 3] of points by index [B, T, P]."""
        B, T, P = index.shape
        picked = colors.gather(1, index.reshape(B, -1, 1).expand(-1, -1, 3)).reshape(B, T, P, 3)
        place = torch.stack([p.gather(2, index) for p in rest], -1)
        waves = (place @ self.frequencies[:, None].mT + self.phases[:, None, None]).sin()
        picked = picked / 255 + waves @ self.pattern[:, None]
        picked = (picked @ self.mixing[:, None].mT).clamp(0.01, 1)
        return picked ** self.gamma[:, None, None]

    def shade(
        self,
        albedo: Tensor,  # [B, T, P, 3]
        triangles: tuple[Points, Points, Points],  # corners in camera coordinates
        depth: Tensor,  # [B, T, S, S] of the first surface; P = S * S
        mask: Tensor,  # [B, T, S, S]
    ) -> Tensor:
        """Lit colours [B, T, P, 3]."""
        a, b, c = (torch.stack(corner, -1) for corner in triangles)
        flat = torch.linalg.cross(b - a, c - a)
        flat = flat / flat.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        flat = torch.where(flat[..., 2:] > 0, -flat, flat)  # towards the camera
        normal = flat.lerp(_smooth_normals(depth, mask), self.smooth[:, None, None])
        normal = normal / normal.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        diffuse = (normal @ self.direction[:, None, :, None]).clamp(min=0)
        ambient = self.ambient[:, None, None]
        hollow = (depth - _mean(depth, mask, HOLLOW)).clamp(min=0).flatten(2)[..., None]
        sheltered = (-self.occlusion[:, None, None] * hollow).exp()
        shade = (ambient + (1 - ambient) * diffuse) * sheltered
        halfway = self.direction - torch.tensor([0.0, 0.0, 1.0], device=albedo.device)
        halfway = halfway / halfway.norm(dim=1, keepdim=True)
        shine = (normal @ halfway[:, None, :, None]).clamp(min=0) ** 20
        lit = albedo * shade + self.gloss[:, None, None] * shine
        return (lit * self.exposure[:, None, None]).clamp(0, 1)

    def plain(self, albedo: Tensor) -> Tensor:
        """Colours under the light's mean."""
        mean = self.ambient + 0.6 * (1 - self.ambient)
        return (albedo * (mean * self.exposure)[:, None, None]).clamp(0, 1)


def _smooth_normals(depth: Tensor, mask: Tensor) -> Tensor:
    """Unit normals [B, T, S * S, 3], towards the camera, of depths [B, T, S, S] without detail."""
    smooth = _mean(depth, mask, SMOOTH) * depth.shape[-1]
    slope_x = torch.gradient(smooth, dim=3)[0].clamp(-STEEP, STEEP)
    slope_y = torch.gradient(smooth, dim=2)[0].clamp(-STEEP, STEEP)
    normal = torch.stack([slope_x, slope_y, -torch.ones_like(slope_x)], -1).flatten(2, 3)
    return normal / normal.norm(dim=-1, keepdim=True)


def _mean(values: Tensor, mask: Tensor, size: int) -> Tensor:
    """Means [B, T, S, S] over the parts of squares of an odd size that are inside the mask."""
    known = mask.to(values.dtype)
    total = avg_pool2d(values * known, size, 1, size // 2)
    return total / avg_pool2d(known, size, 1, size // 2).clamp(min=1e-3)


def spoil(images: Tensor, rng: torch.Generator, spread: float = 1.0) -> Tensor:
    """Premultiplied RGBA [B, T, 4, S, S] as a clip has it: soft, its matte a bit too wide or too
    narrow, and noisy."""
    B, T, _, S, _ = images.shape
    flat = images.flatten(0, 1)
    soft = _blurred(flat, 1)
    if spread == 0:
        return soft.unflatten(0, (B, T))

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        draw = torch.rand(B, *shape, device=images.device, generator=rng)
        return (low + (high - low) * draw).repeat_interleave(T, 0).reshape(B * T, *(1,) * 3)

    wide = _blurred(soft, 2)
    sharp = uniform(0, 1)
    mix = sharp * soft + (1 - sharp) * wide
    alpha = mix[:, 3:]
    edge = torch.where(uniform(0, 1) < 0.6, 0.5, uniform(0.25, 0.7))
    coarse = torch.randn(B * T, 1, S // 10, S // 10, device=images.device, generator=rng)
    wrong = interpolate(coarse, (S, S), mode="bilinear")
    edge = edge + (uniform(0, 0.3) - 0.15).clamp(min=0) * wrong
    steep = uniform(1.5, 5)
    matte = ((alpha - edge) * steep + 0.5).clamp(0, 1) * (alpha > FOREGROUND)
    colors = mix[:, :3] / alpha.clamp(min=FOREGROUND)
    noise = (
        uniform(0, 0.04)
        * spread
        * torch.randn(flat[:, :3].shape, device=flat.device, generator=rng)
    )
    colors = (colors + noise).clamp(0, 1)
    return torch.cat([colors * matte, matte], 1).unflatten(0, (B, T))


def _blurred(images: Tensor, radius: int) -> Tensor:
    """Two passes of a box of 2 * radius + 1 pixels, at a third of its weight for radius 1."""
    for _ in range(radius):
        images = (images + avg_pool2d(images, 3, 1, 1, count_include_pad=True)) / 2
    return images
