"""Clips of posed objects with their true depths, rendered while training on the GPU.

Every view is a splat of points on the surface: per pixel the nearest point and the farthest one
along the ray. Objects are bent, scaled and turned at random, lit, and their mattes spoiled.
Lengths are in widths of the square frame, which is cropped around the clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ds4d.multiview.shape_prior.network import STEEPEST

from .assets import CLIP_POSES, Asset, surface_points
from .light import Light, spoil
from .motion import VARIED, Motion, Points, Variation

SLANT_REST = 0.03  # widths: of objects as narrow as this the slant is taken for zero
MIXED = 0.25  # deviation of the shares of other poses
DEPTH_BITS, POINT_BITS = 20, 18
FACING = ("animal", "human", "creature", "robot", "figure")  # categories that face -Y


@dataclass
class Clips:
    """B clips of T frames of S x S pixels with what is true of them."""

    images: Tensor  # [B, T, 4, S, S] premultiplied RGBA in [0, 1], as a network sees them
    mask: Tensor  # [B, T, S, S] bool, pixels whose depths are known
    front: Tensor  # [B, T, S, S] depth of the first surface, widths, without the clip's mean
    back: Tensor  # [B, T, S, S] depth of the last surface
    back_colors: Tensor  # [B, T, 3, S, S] in [0, 1]
    slants: Tensor  # [B, T] radians, positive: the right side is farther away
    extents: Tensor  # [B, T, 2] depths of the nearest and the farthest point of each frame
    targets: Tensor  # [B] depth of what the cameras of all views look at
    azimuths: Tensor  # [B, T] radians, of the camera around the object
    faces: Tensor  # [B] bool, objects with a face, whose azimuth can be told


class Poses(NamedTuple):
    """Poses of B objects in T frames, each with a share of another pose of its object."""

    starts: Tensor  # [B, T] rows of PointClouds.vertices
    others: Tensor  # [B, 1]
    shares: Tensor  # [B, 1, 1] negative: away from the other pose


class PointClouds:
    """Points on the surfaces of many objects, on one device."""

    def __init__(self, assets: list[Asset], points: int, device: torch.device | str = "cpu"):
        if points > 1 << POINT_BITS:
            raise ValueError(f"at most {1 << POINT_BITS} points an object")
        shape = (len(assets), points, 3)
        self.corners = torch.empty(shape, dtype=torch.int32, device=device)  # [O, N, 3] vertices
        self.weights = torch.empty(shape, dtype=torch.float16, device=device)  # barycentric
        self.colors = torch.empty(shape, dtype=torch.uint8, device=device)

        for index, asset in enumerate(assets):
            arrays = surface_points(asset, points, device)
            for table, array in zip((self.corners, self.weights, self.colors), arrays, strict=True):
                table[index] = array
        vertices = [torch.from_numpy(a.poses).reshape(-1, 3) for a in assets]
        self.vertices = torch.cat(vertices).to(device)  # [sum of P V, 3]
        ends = torch.tensor([len(v) for v in vertices]).cumsum(0)
        self.starts = (ends - torch.tensor([len(v) for v in vertices])).to(device)  # [O]
        self.sizes = torch.tensor([a.poses.shape[1] for a in assets]).to(device)  # [O] V
        self.poses = torch.tensor([len(a.poses) for a in assets]).to(device)  # [O] P
        self.animated = torch.tensor([a.clips > 0 for a in assets]).to(device)  # [O]
        self.faces = torch.tensor([a.clips > 0 and a.category in FACING for a in assets]).to(device)
        self.device = torch.device(device)


def choose_poses(
    clouds: PointClouds, objects: Tensor, frames: int, rng: torch.Generator, mixture: float = 0.0
) -> Poses:
    """Poses of objects [B]: moments of one clip in order, forwards or backwards, or one pose
    repeated. Some animated ones are mixed with another of their poses: there are few clips."""
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
    animated = clouds.animated[objects][:, None]
    poses = torch.where(animated, moving, still)
    draw = torch.rand(2, B, 1, device=device, generator=rng)
    shares = MIXED * mixture * torch.randn(B, 1, device=device, generator=rng).clamp(-2, 2)
    shares = torch.where(animated & (draw[0] < 0.25), shares, 0.0)[..., None]
    others = (draw[1] * clouds.poses[objects][:, None]).long()
    rows, sizes = clouds.starts[objects][:, None], clouds.sizes[objects][:, None]
    return Poses(rows + poses * sizes, rows + others * sizes, shares)


def render_clips(
    clouds: PointClouds,
    objects: Tensor,  # [B] int64
    frames: int,
    size: int,
    rng: torch.Generator,
    spread: Variation = VARIED,
    yaw: Tensor | None = None,  # [B] radians: azimuth of the camera instead of a random one
    elevation: float | None = None,  # radians, instead of a random one
) -> Clips:
    """Clips of objects at random azimuths."""
    poses = choose_poses(clouds, objects, frames, rng, spread.shape)
    motion = Motion(clouds.animated[objects], frames, rng, spread)
    if yaw is not None:
        motion.yaw = yaw[:, None].expand(-1, frames)
    if elevation is not None:
        motion.elevation = torch.full_like(motion.yaw, elevation)
    corners, weights = clouds.corners[objects], clouds.weights[objects].float()

    rest = _points(clouds, poses, corners, weights)
    shaped = motion.shaped(rest)
    placed, targets = motion.project(motion.seen(shaped, motion.yaw), motion.target(shaped))
    mask, nearest, farthest = splat(placed, size)  # [B, T, S * S], indices of points

    depth = placed[2]
    front, back = depth.gather(2, nearest), depth.gather(2, farthest)
    middle = (front + back) / 2
    count = mask.sum((1, 2)).clamp(min=1)
    mean = (middle * mask).sum((1, 2)) / count
    front, back = (torch.where(mask, d - mean[:, None, None], 0.0) for d in (front, back))

    light = Light(len(objects), clouds.device, rng, spread.image)
    albedo = light.color(clouds.colors[objects], nearest, rest)
    triangles = _triangles(clouds, poses, corners, nearest, motion)
    relief = front.unflatten(2, (size, size)), mask.unflatten(2, (size, size))
    colors = light.shade(albedo, triangles, *relief)
    hidden = light.plain(light.color(clouds.colors[objects], farthest, rest))

    def image(values: Tensor) -> Tensor:
        return (values * mask[..., None]).unflatten(2, (size, size)).movedim(-1, 2)

    rgba = torch.cat([image(colors), image(torch.ones_like(colors[..., :1]))], 2)
    back_colors = image(hidden)
    mask, front, back = (grid.unflatten(2, (size, size)) for grid in (mask, front, back))
    images = spoil(rgba, rng, spread.image)
    leaning = slants((front + back) / 2, mask)
    faces = clouds.faces[objects]
    extents = torch.stack([depth.amin(2), depth.amax(2)], 2) - mean[:, None, None]
    targets = targets - mean
    return Clips(
        images, mask, front, back, back_colors, leaning, extents, targets, motion.yaw, faces
    )


def slants(middle: Tensor, mask: Tensor) -> Tensor:
    """Angle [..., ] of the line that fits depths [..., S, S] over the columns of a frame best."""
    size = mask.shape[-1]
    x = ((torch.arange(size, device=mask.device) + 0.5) / size).expand(mask.shape)
    count = mask.sum((-2, -1)).clamp(min=1)
    mean = lambda values: (values * mask).sum((-2, -1)) / count  # noqa: E731
    x = x - mean(x)[..., None, None]
    slope = mean(x * middle) / (mean(x * x) + SLANT_REST**2)
    return slope.atan().clamp(-STEEPEST, STEEPEST)


def _points(clouds: PointClouds, poses: Poses, corners: Tensor, weights: Tensor) -> Points:
    """Points [B, T, N] on the surfaces."""
    x, y, z = 0.0, 0.0, 0.0
    for i in range(3):
        corner = _vertices(clouds, poses, corners[:, None, :, i])
        weight = weights[:, None, :, i]
        x, y, z = (
            x + corner[..., 0] * weight,
            y + corner[..., 1] * weight,
            z + corner[..., 2] * weight,
        )
    return x, y, z


def _triangles(
    clouds: PointClouds, poses: Poses, corners: Tensor, index: Tensor, motion: Motion
) -> tuple[Points, Points, Points]:
    """Corners, in camera coordinates, of the triangles that points by index [B, T, P] lie on."""
    posed = []
    for i in range(3):
        picked = corners[:, :, i].gather(1, index.flatten(1)).reshape(index.shape)
        corner = _vertices(clouds, poses, picked)
        posed.append(motion.pose(tuple(c.contiguous() for c in corner.unbind(-1))))
    return tuple(posed)


def _vertices(clouds: PointClouds, poses: Poses, index: Tensor) -> Tensor:
    """Vertices [B, T, P, 3] by index [B, T or 1, P] within their objects."""
    own = clouds.vertices[poses.starts[..., None] + index]
    other = clouds.vertices[poses.others[..., None] + index]
    return own + poses.shares[..., None] * (other - own)


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
