"""Sampling of the initial point cloud from a mesh or from another cloud."""

from __future__ import annotations

import torch
from torch import Tensor

from .mesh import Mesh

JITTER = 0.02  # world units, standard deviation: about the spacing of a few thousand points


def sample_points(
    mesh: Mesh, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample points uniformly by area (Osada et al. 2002, "Shape distributions", eq. 1).

    Returns:
        Points [count, 3], colours [count, 3] in [0, 1] and unit normals [count, 3].
    """
    corners, normals = mesh.corners(), mesh.face_normals()
    area = torch.linalg.norm(normals, dim=-1) / 2
    # Not torch.multinomial: it takes 2^24 weights at most, and its samples depend on the device.
    cumulative = area.double().cumsum(0)
    sample = torch.rand(count, generator=generator, dtype=torch.float64) * cumulative[-1]
    face = torch.searchsorted(cumulative, sample, right=True).clamp(max=len(area) - 1)

    root, along = torch.rand(2, count, generator=generator)
    root = root.sqrt()
    weights = torch.stack([1 - root, root * (1 - along), root * along], -1)[..., None]
    points = (weights * corners[face]).sum(1)
    colors = (weights * mesh.colors[mesh.faces[face]]).sum(1)
    return points, colors, torch.nn.functional.normalize(normals[face], dim=-1)


def resample_cloud(
    points: Tensor,  # [M, 3] world coordinates
    colors: Tensor,  # [M, 3] in [0, 1]
    count: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Sample `count` points [count, 3] and their colours [count, 3] of a cloud.

    Without replacement where the cloud is large enough; otherwise points repeat, and copies are
    displaced by Gaussian noise.
    """
    order = torch.randperm(len(points), generator=generator)
    chosen = order.repeat(-(-count // len(points)))[:count]
    resampled = points[chosen]
    copies = count - len(points)
    if copies > 0:
        resampled[-copies:] += JITTER * torch.randn(copies, 3, generator=generator)
    return resampled, colors[chosen]
