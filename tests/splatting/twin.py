"""Specification of the rasterizer, written plainly: dense, in float64, without tiles or bounds.

Every camera's Gaussians are sorted by depth and blended at every pixel; autograd does the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rotations(quats: Tensor) -> Tensor:  # [..., 4] -> [..., 3, 3]
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def rasterize_one(
    means: Tensor,  # [N, 3]
    quats: Tensor,  # [N, 4]
    scales: Tensor,  # [N, 3]
    opacities: Tensor,  # [N]
    colors: Tensor,  # [N, D]
    viewmat: Tensor,  # [4, 4]
    K: Tensor,  # [3, 3]
    width: int,
    height: int,
    background: Tensor,  # [D]
    offsets: Tensor,  # [N, 2]
    antialiased: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    points = means @ viewmat[:3, :3].T + viewmat[:3, 3]
    order = points[:, 2].argsort(stable=True)
    order = order[(points[order, 2] > 0.01) & (points[order, 2] < 1e10)]
    x, y, z = points[order].unbind(-1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]

    slope_x = (x / z).clamp(-cx / fx - 0.15 * width / fx, (width - cx) / fx + 0.15 * width / fx)
    slope_y = (y / z).clamp(-cy / fy - 0.15 * height / fy, (height - cy) / fy + 0.15 * height / fy)
    zero = torch.zeros_like(z)
    J = torch.stack(
        [
            torch.stack([fx / z, zero, -fx * slope_x / z], -1),
            torch.stack([zero, fy / z, -fy * slope_y / z], -1),
        ],
        -2,
    )
    root = rotations(quats[order]) * scales[order, None, :]
    sharp = J @ viewmat[:3, :3] @ (root @ root.mT) @ viewmat[:3, :3].T @ J.mT
    cov = sharp + 0.3 * torch.eye(2, dtype=sharp.dtype)
    opacity = opacities[order]
    if antialiased:
        ratio = torch.linalg.det(sharp) / torch.linalg.det(cov)
        opacity = opacity * ratio.clamp(min=0.005**2).sqrt()

    centres = torch.stack([fx * x / z + cx, fy * y / z + cy], -1) + offsets[order]
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    d = torch.stack([u, v], -1)[:, :, None] - centres  # [H, W, N, 2]
    sigma = 0.5 * torch.einsum("hwni,nij,hwnj->hwn", d, torch.linalg.inv(cov), d)
    alpha = (opacity * torch.exp(-sigma)).clamp(max=0.99)
    alpha = torch.where(alpha >= 1 / 255, alpha, 0)
    after = torch.cumprod(1 - alpha, -1)  # transmittance
    drawn = after.detach() > 1e-4  # monotonic: once a pixel is finished it stays so
    alpha = torch.where(drawn, alpha, 0)
    after = torch.cumprod(1 - alpha, -1)
    before = torch.cat([torch.ones_like(after[..., :1]), after[..., :-1]], -1)
    weights = alpha * before

    total = weights.sum(-1, keepdim=True)
    depth = (weights @ z)[..., None] / total.clamp(min=1e-10)
    return weights @ colors[order] + (1 - total) * background, total, depth


def rasterize(
    means, quats, scales, opacities, colors, viewmats, Ks, width, height, backgrounds=None,
    *, antialiased=False, means2d_offsets=None,
):  # fmt: skip
    """The same as ds4d.splatting.rasterize, in float64."""
    C, N, D = len(viewmats), means.shape[-2], colors.shape[-1]
    if backgrounds is None:
        backgrounds = torch.zeros(C, D)
    if means2d_offsets is None:
        means2d_offsets = torch.zeros(C, N, 2)
    shared = (means, 2), (quats, 2), (scales, 2), (opacities, 1), (colors, 2)
    images = []
    for camera in range(C):
        own = [(x[camera] if x.ndim > dims else x).double() for x, dims in shared]
        images.append(
            rasterize_one(
                *own,
                viewmats[camera].double(),
                Ks[camera].double(),
                width,
                height,
                backgrounds[camera].double(),
                means2d_offsets[camera].double(),
                antialiased,
            )  # fmt: skip
        )
    return tuple(torch.stack(parts) for parts in zip(*images, strict=True))
