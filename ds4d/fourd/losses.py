"""Image losses and regularizers (paper section 3.5; weights and choices: docs/method.md, section
7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import FourdConfig
from ..kernels import dispatch
from ..kernels.numba.losses import SSIM_C1, SSIM_C2, SSIM_WINDOW
from .deformation import Deformation
from .targets import TargetImages

SCALES = 3  # of the structural loss, each half as fine as the one before it


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses of B images."""

    rgb: Tensor  # [B]
    alpha: Tensor  # [B]
    perceptual: Tensor | None  # [P]; None = no perceptual loss
    perceptual_images: slice  # P of the B images: those that it is computed for


def image_loss(
    rgb: Tensor,  # [B, H, W, 3]
    alpha: Tensor,  # [B, H, W, 1]
    targets: TargetImages,
    weights: LossWeights,
    robust: bool,
    perceptual: Callable[[Tensor, Tensor], Tensor],  # [P, H, W, 3] twice -> [P]
) -> Tensor:  # []
    """Weighted sum of the photometric losses of colours and mattes and of the perceptual loss."""
    chosen = weights.perceptual_images
    with_structure = weights.perceptual is not None and perceptual is structural
    missing = None if robust else "squared errors"
    if kernels := dispatch.kernels("image losses", rgb, missing):
        structure = torch.zeros_like(weights.rgb)
        if with_structure:
            structure[chosen] = weights.perceptual
        loss = kernels.image_errors(
            rgb, alpha, targets.rgb, targets.alpha,
            torch.stack([weights.rgb, weights.alpha, structure]), SCALES,
        )  # fmt: skip
        if with_structure or weights.perceptual is None:
            return loss
        true_rgb, _ = targets.as_floats(rgb.dtype)
    else:
        true_rgb, true_alpha = targets.as_floats(rgb.dtype)
        loss = (weights.rgb * photometric(rgb, true_rgb, robust)).sum()
        loss = loss + (weights.alpha * photometric(alpha, true_alpha, robust)).sum()
    if weights.perceptual is None:
        return loss
    return loss + (weights.perceptual * perceptual(rgb[chosen], true_rgb[chosen])).sum()


def photometric(
    render: Tensor,  # [B, H, W, ...]
    target: Tensor,  # [B, H, W, ...]
    robust: bool,
) -> Tensor:  # [B]
    """Mean absolute (robust) or squared error of each image."""
    error = (render - target).abs() if robust else (render - target).square()
    return error.flatten(1).mean(1)


def structural(
    render: Tensor,  # [B, H, W, 3]
    target: Tensor,  # [B, H, W, 3]
) -> Tensor:  # [B]
    """Perceptual loss without a network: SSIM and gradient errors at 1/2, 1/4 and 1/8 size.

    Like LPIPS it tolerates small changes of level, which a pixel loss would import from
    inconsistent views, and penalizes missing structure.
    """
    render, target = render.permute(0, 3, 1, 2), target.permute(0, 3, 1, 2)
    total = render.new_zeros(len(render))
    for _ in range(SCALES):
        render, target = block_means(render, 2), block_means(target, 2)
        total = total + (1 - ssim(render, target)) / 2 + _gradient_error(render, target)
    return total / SCALES


def ssim(
    a: Tensor,  # [B, C, H, W] in [0, 1]
    b: Tensor,  # [B, C, H, W]
) -> Tensor:  # [B]
    """Structural similarity in [-1, 1], over windows of 4 x 4 pixels that do not overlap.

    Windows that do not overlap cost a tenth of sliding ones on a CPU.
    """
    moments = block_means(torch.cat([a, b, a * a, b * b, a * b], 1), SSIM_WINDOW)
    mean_a, mean_b, aa, bb, ab = moments.chunk(5, 1)
    product, squares = mean_a * mean_b, mean_a.square() + mean_b.square()
    numerator = (2 * product + SSIM_C1) * (2 * (ab - product) + SSIM_C2)
    denominator = (squares + SSIM_C1) * (aa + bb - squares + SSIM_C2)
    return (numerator / denominator).mean((1, 2, 3))


def block_means(images: Tensor, side: int) -> Tensor:
    """Means over blocks of side x side pixels, [B, C, H // side, W // side]; remainders are cut."""
    B, C, H, W = images.shape
    rows, columns = H // side, W // side
    cut = images[:, :, : rows * side, : columns * side]
    return cut.reshape(B, C, rows, side, columns, side).mean((3, 5))


def _gradient_error(a: Tensor, b: Tensor) -> Tensor:
    difference = a - b
    along_x = (difference[..., :, 1:] - difference[..., :, :-1]).abs().mean((1, 2, 3))
    return along_x + (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean((1, 2, 3))


def regularizers(network: Deformation, config: FourdConfig) -> Tensor:
    """Weighted regularizers of the HexPlane: roughness in time and space, and the time planes'
    distance to one."""
    planes, total = network.planes, torch.zeros(())
    weighted = config.smooth_space or config.smooth_time or config.sparse_time
    if weighted and (kernels := dispatch.kernels("regularizers", next(planes.parameters()))):
        of_space = kernels.irregularity(planes.space, config.smooth_space, 0.0)
        return of_space + kernels.irregularity(planes.time, config.smooth_time, config.sparse_time)
    if config.smooth_time or config.smooth_space:
        time, space = planes.smoothness()
        total = total + config.smooth_time * time + config.smooth_space * space
    if config.sparse_time:
        total = total + config.sparse_time * planes.sparseness()
    return total
