"""Clips of posed objects with their true depths, rendered while training on the GPU.

Every view is a splat of points on the surface: per pixel the nearest point and the farthest one
along the ray. Objects are bent, scaled and turned at random, lit, and their mattes spoiled.
Lengths are in widths of the square frame, which is cropped around the clip.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ds4d.multiview.shape_prior.network import FOREGROUND, STEEPEST

from .assets import CLIP_POSES, Asset, surface_points

SLANT_REST = 0.03  # widths: of objects as narrow as this the slant is taken for zero
DEPTH_BITS, POINT_BITS = 20, 18

Points = tuple[Tensor, Tensor, Tensor]  # x, y, z


@dataclass
class Clips:
    """B clips of T frames of S x S pixels with what is true of them."""

    images: Tensor  # [B, T, 4, S, S] premultiplied RGBA in [0, 1], as a network sees them
    mask: Tensor  # [B, T, S, S] bool, pixels whose depths are known
    front: Tensor  # [B, T, S, S] depth of the first surface, widths, without the clip's mean
    back: Tensor  # [B, T, S, S] depth of the last surface
    back_colors: Tensor  # [B, T, 3, S, S] in [0, 1]
    slants: Tensor  # [B, T] radians, positive: the right side is farther away


@dataclass(frozen=True)
class Variation:
    """Spread of the random changes. Zero leaves objects and mattes as they are."""

    shape: float = 1.0  # scales, bends, warps
    sway: float = 1.0  # motion of objects at rest
    image: float = 1.0  # light, colours, matte

    @classmethod
    def none(cls) -> Variation:
        return cls(0.0, 0.0, 0.0)


class PointClouds:
    """Points on the surfaces of many objects, on one device."""

    def __init__(self, assets: list[Asset], points: int, device: torch.device | str = "cpu"):
        if points > 1 << POINT_BITS:
            raise ValueError(f"at most {1 << POINT_BITS} points an object")
        shape = (len(assets), points, 3)
        self.corners = torch.empty(shape, dtype=torch.int32, device=device)  # [O, N, 3] vertices
        self.weights = torch.empty(shape, dtype=torch.float16, device=device)  # barycentric
        self.colors = torch.empty(shape, dtype=torch.uint8, device=device)

        def fill(index: int) -> None:
            arrays = surface_points(assets[index], points)
            for table, array in zip((self.corners, self.weights, self.colors), arrays, strict=True):
                table[index] = torch.from_numpy(array)

        with ThreadPoolExecutor() as pool:
            list(pool.map(fill, range(len(assets))))
        vertices = [torch.from_numpy(a.poses).reshape(-1, 3) for a in assets]
        self.vertices = torch.cat(vertices).to(device)  # [sum of P V, 3]
        ends = torch.tensor([len(v) for v in vertices]).cumsum(0)
        self.starts = (ends - torch.tensor([len(v) for v in vertices])).to(device)  # [O]
        self.sizes = torch.tensor([a.poses.shape[1] for a in assets]).to(device)  # [O] V
        self.poses = torch.tensor([len(a.poses) for a in assets]).to(device)  # [O] P
        self.animated = torch.tensor([a.clips > 0 for a in assets]).to(device)  # [O]
        self.device = torch.device(device)


def choose_poses(clouds: PointClouds, objects: Tensor, frames: int, rng: torch.Generator) -> Tensor:
    """Poses [B, T] of objects [B]: moments of one clip in order, forwards or backwards, or one
    pose repeated."""
    B, device = len(objects), clouds.device
    first = torch.rand(B, device=device, generator=rng)
    if frames > CLIP_POSES:
        raise ValueError(f"clips have {CLIP_POSES} moments")
    moments = torch.rand(B, CLIP_POSES, device=device, generator=rng).argsort(1)[:, :frames]
    moments = moments.sort(1).values
    backwards = torch.rand(B, 1, device=device, generator=rng) < 0.3
    moments = torch.where(backwards, moments.flip(1), moments)
    clips = clouds.poses[objects] // CLIP_POSES
    moving = (first * clips).long()[:, None] * CLIP_POSES + moments
    still = (first * clouds.poses[objects]).long()[:, None].expand_as(moments)
    return torch.where(clouds.animated[objects][:, None], moving, still)


class Motion:
    """Random deformations, turns and cameras of B clips of T frames; maps rest poses to cameras."""

    def __init__(
        self, moving: Tensor, frames: int, rng: torch.Generator, spread: Variation = Variation()
    ):
        B, T, device = len(moving), frames, moving.device
        self.spread = spread

        def normal(*shape: int) -> Tensor:
            return torch.randn(B, *shape, device=device, generator=rng)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(B, *shape, device=device, generator=rng)

        time = torch.linspace(-1, 1, T, device=device) if T > 1 else torch.zeros(1, device=device)
        still = spread.sway * (~moving).float()[:, None]  # [B, 1]
        wave = (2 * math.pi * uniform(1) + (1 + 2 * uniform(1)) * time).sin()  # [B, T]
        shape = spread.shape
        self.scales = (0.16 * shape * normal(3)).exp()
        if shape > 0:
            self.scales[:, 0] *= torch.where(uniform() < 0.5, 1.0, -1.0)  # mirror images
        # Smooth waves: p + amplitude sin(frequency p + phase)
        self.frequencies = 5 * normal(3, 3)
        self.phases = (
            2 * math.pi * uniform(3)[:, None]
            + still[..., None] * normal(3)[:, None] * (time[:, None])
        )  # [B, T, 3]
        self.amplitudes = 0.015 * shape * normal(3, 3)
        # Bends: turns about an axis in proportion to the place along another one
        bends = (uniform(3) < 0.5).float() * normal(3) * shape * 0.5
        self.bends = bends[:, None] + 0.3 * (still * wave)[..., None] * normal(3)[:, None]
        # A turn of all that is beyond a plane, as of a head or a trunk
        normals = normal(3) * torch.tensor([0.4, 1.0, 1.0], device=device)
        self.normals = normals / normals.norm(dim=1, keepdim=True)
        self.beyond = 0.1 + 0.25 * uniform()
        turn = (uniform(1) < 0.5).float() * (normal(1) * shape + still * 0.5 * wave)
        axis = normal(3)
        self.axes = axis / axis.norm(dim=1, keepdim=True)
        self.turns = 0.35 * turn.expand(B, T)

        yaw = 2 * math.pi * uniform(1) + math.radians(3) * spread.sway * normal(1) * wave
        spins = (uniform(1) < 0.12).float() * spread.sway
        self.yaw = yaw + spins * math.radians(60) * normal(1) * time
        level = uniform(1) < 0.6
        elevation = torch.where(level, 3 * normal(1), -10 + 40 * uniform(1))
        self.elevation = torch.deg2rad(elevation * min(1, shape)).expand(B, T)
        self.roll = torch.deg2rad(2 * shape * normal(1)).expand(B, T)
        fov = torch.deg2rad(torch.where(uniform() < 0.5, 30.0, 15 + 35 * uniform()))
        fov = fov if shape > 0 else torch.full_like(fov, math.radians(30))
        self.distance = 0.5 / (fov / 2).tan()
        self.fill = 0.75 + 0.2 * uniform() if shape > 0 else torch.full_like(fov, 0.9)
        self.offset = (uniform(2) - 0.5) * (1 - self.fill)[:, None] * min(1, shape)

    def pose(self, points: Points) -> Points:
        """Camera coordinates (x right, y down, z forward, origin in the object) of [B, T, N]."""
        x, y, z = (p * self.scales[:, i, None, None] for i, p in enumerate(points))
        if self.spread.shape > 0:
            x, y, z = self._waved(x, y, z)
            x, y = _turned(x, y, self.bends[..., 0:1] * y)  # the spine sideways
            y, z = _turned(y, z, self.bends[..., 1:2] * y)  # up and down
            x, z = _turned(x, z, self.bends[..., 2:3] * z)  # a lean
            x, y, z = self._hinged(x, y, z)
        x, y = _turned(x, y, -self.yaw[..., None])
        z, y = _turned(z, y, -self.elevation[..., None])
        right, down = _turned(x, -z, self.roll[..., None])
        return right, down, y

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

    def project(self, points: Points) -> Points:
        """Places in the frame [B, T, N]: column and row in [0, 1], depth, all in its widths."""
        x, y, z = points
        distance = self.distance[:, None, None]
        scale = distance / (distance + z).clamp(min=0.1)
        u, v = x * scale, y * scale
        low = torch.stack([u.amin((1, 2)), v.amin((1, 2))], 1)
        high = torch.stack([u.amax((1, 2)), v.amax((1, 2))], 1)
        zoom = self.fill / (high - low).amax(1).clamp(min=1e-3)  # [B]
        shift = 0.5 + self.offset - (low + high) / 2 * zoom[:, None]
        zoom = zoom[:, None, None]
        return u * zoom + shift[:, 0, None, None], v * zoom + shift[:, 1, None, None], z * zoom


def render_clips(
    clouds: PointClouds,
    objects: Tensor,  # [B] int64
    frames: int,
    size: int,
    rng: torch.Generator,
    spread: Variation = Variation(),
    yaw: Tensor | None = None,  # [B] radians: azimuth of the camera instead of a random one
    elevation: float | None = None,  # radians, instead of a random one
) -> Clips:
    """Clips of objects at random azimuths."""
    poses = choose_poses(clouds, objects, frames, rng)  # [B, T]
    motion = Motion(clouds.animated[objects], frames, rng, spread)
    if yaw is not None:
        motion.yaw = yaw[:, None].expand(-1, frames)
    if elevation is not None:
        motion.elevation = torch.full_like(motion.yaw, elevation)
    starts = clouds.starts[objects][:, None] + poses * clouds.sizes[objects][:, None]
    corners, weights = clouds.corners[objects], clouds.weights[objects].float()

    rest = _points(clouds, starts, corners, weights)
    placed = motion.project(motion.pose(rest))
    mask, nearest, farthest = splat(placed, size)  # [B, T, S * S], indices of points

    depth = placed[2]
    front, back = depth.gather(2, nearest), depth.gather(2, farthest)
    middle = (front + back) / 2
    count = mask.sum((1, 2)).clamp(min=1)
    mean = (middle * mask).sum((1, 2)) / count
    front, back = (torch.where(mask, d - mean[:, None, None], 0.0) for d in (front, back))

    light = _Light(len(objects), clouds.device, rng, spread.image)
    albedo = light.color(clouds.colors[objects], nearest, rest)
    colors = light.shade(albedo, _triangles(clouds, starts, corners, nearest, motion))
    hidden = light.plain(light.color(clouds.colors[objects], farthest, rest))

    def image(values: Tensor) -> Tensor:
        return (values * mask[..., None]).unflatten(2, (size, size)).movedim(-1, 2)

    rgba = torch.cat([image(colors), image(torch.ones_like(colors[..., :1]))], 2)
    back_colors = image(hidden)
    mask, front, back = (grid.unflatten(2, (size, size)) for grid in (mask, front, back))
    images = spoil(rgba, rng, spread.image)
    return Clips(images, mask, front, back, back_colors, slants((front + back) / 2, mask))


def slants(middle: Tensor, mask: Tensor) -> Tensor:
    """Angle [..., ] of the line that fits depths [..., S, S] over the columns of a frame best."""
    size = mask.shape[-1]
    x = ((torch.arange(size, device=mask.device) + 0.5) / size).expand(mask.shape)
    count = mask.sum((-2, -1)).clamp(min=1)
    mean = lambda values: (values * mask).sum((-2, -1)) / count  # noqa: E731
    x = x - mean(x)[..., None, None]
    slope = mean(x * middle) / (mean(x * x) + SLANT_REST**2)
    return slope.atan().clamp(-STEEPEST, STEEPEST)


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


class _Light:
    """A random light, exposure and change of colours for each of B clips."""

    def __init__(self, clips: int, device: torch.device, rng: torch.Generator, spread: float):
        def normal(*shape: int) -> Tensor:
            return torch.randn(clips, *shape, device=device, generator=rng)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(clips, *shape, device=device, generator=rng)

        direction = normal(3) + torch.tensor([0.0, -1.5, -1.5], device=device)
        self.direction = direction / direction.norm(dim=1, keepdim=True)
        self.ambient = 0.45 + 0.55 * uniform(1)
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

    def shade(self, albedo: Tensor, triangles: tuple[Points, Points, Points]) -> Tensor:
        """Lit colours [B, T, P, 3] of triangles with corners in camera coordinates."""
        a, b, c = (torch.stack(corner, -1) for corner in triangles)
        normal = torch.linalg.cross(b - a, c - a)
        normal = normal / normal.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        normal = torch.where(normal[..., 2:] > 0, -normal, normal)  # towards the camera
        diffuse = (normal @ self.direction[:, None, :, None]).clamp(min=0)
        ambient = self.ambient[:, None, None]
        shade = ambient + (1 - ambient) * diffuse
        return (albedo * shade * self.exposure[:, None, None]).clamp(0, 1)

    def plain(self, albedo: Tensor) -> Tensor:
        """Colours under the light's mean."""
        mean = self.ambient + 0.6 * (1 - self.ambient)
        return (albedo * (mean * self.exposure)[:, None, None]).clamp(0, 1)


def _points(clouds: PointClouds, starts: Tensor, corners: Tensor, weights: Tensor) -> Points:
    """Points [B, T, N] on the surfaces, in poses whose vertices start at [B, T]."""
    x, y, z = 0.0, 0.0, 0.0
    for i in range(3):
        corner = clouds.vertices[starts[..., None] + corners[:, None, :, i]]
        weight = weights[:, None, :, i]
        x, y, z = (
            x + corner[..., 0] * weight,
            y + corner[..., 1] * weight,
            z + corner[..., 2] * weight,
        )
    return x, y, z


def _triangles(
    clouds: PointClouds, starts: Tensor, corners: Tensor, index: Tensor, motion: Motion
) -> tuple[Points, Points, Points]:
    """Corners, in camera coordinates, of the triangles that points by index [B, T, P] lie on."""
    posed = []
    for i in range(3):
        picked = corners[:, :, i].gather(1, index.flatten(1)).reshape(index.shape)
        corner = clouds.vertices[starts[..., None] + picked]
        posed.append(motion.pose(tuple(c.contiguous() for c in corner.unbind(-1))))
    return tuple(posed)


def splat(placed: Points, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hit pixels [B, T, S * S] with their nearest and farthest points."""
    B, T, N = placed[0].shape
    column, row = (p.mul(size).long() for p in placed[:2])
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    pixel = torch.where(inside, row * size + column, size * size)  # the last one is thrown away
    depth = ((placed[2] + 4) / 8 * (1 << DEPTH_BITS)).long().clamp(0, (1 << DEPTH_BITS) - 1)
    key = depth << POINT_BITS | torch.arange(N, device=placed[0].device)
    far, shape = 1 << (DEPTH_BITS + POINT_BITS), (B, T, size * size + 1)
    nearest = torch.full(shape, far, device=placed[0].device, dtype=torch.int64)
    farthest = torch.full(shape, -1, device=placed[0].device, dtype=torch.int64)
    nearest.scatter_reduce_(2, pixel, key, "amin")
    farthest.scatter_reduce_(2, pixel, key, "amax")
    nearest, farthest = nearest[..., :-1], farthest[..., :-1]
    mask, points = farthest >= 0, (1 << POINT_BITS) - 1
    return mask, torch.where(mask, nearest & points, 0), torch.where(mask, farthest & points, 0)


def _turned(a: Tensor, b: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = angle.cos(), angle.sin()
    return a * cos - b * sin, a * sin + b * cos


def _blurred(images: Tensor, radius: int) -> Tensor:
    """Two passes of a box of 2 * radius + 1 pixels, at a third of its weight for radius 1."""
    for _ in range(radius):
        images = (images + avg_pool2d(images, 3, 1, 1, count_include_pad=True)) / 2
    return images
