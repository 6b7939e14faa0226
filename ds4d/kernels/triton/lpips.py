"""LPIPS on a GPU: a layer's distance and its gradient in one pass over the features."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPSILON = tl.constexpr(1e-10)  # the package's
TILE = 4096  # features of a program
# Gradients within the trunk are as many times larger as a quarter of the image has pixels: those
# of a mean over pixels are too small for half precision. Features of almost no length have the
# largest; the convolutions before them need room for sums.
SCALE = 0.25
LARGEST = tl.constexpr(4096.0)


@triton.jit
def _unit(features):
    """Features of pixels at length one, and one over their lengths."""
    inverse = 1 / (tl.sqrt(tl.sum(features * features, 1)) + EPSILON)[:, None]
    return features * inverse, inverse


@triton.jit
def measure(
    mine,  # [B, pixels, C]
    theirs,  # [B, pixels, C]
    weights,  # [C]
    sums,  # [programs, B], written
    v_mine,  # [B, pixels, C], written; or None
    scale,  # of gradients
    pixels,
    C: tl.constexpr,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Sum a program's part of the mean over pixels of weighted squared differences."""
    program, image = tl.program_id(0), tl.program_id(1)
    channel = tl.arange(0, CHANNELS)[None, :]
    pixel = program * PIXELS + tl.arange(0, PIXELS)[:, None]
    inside = (pixel < pixels) & (channel < C)
    place = (image * pixels + pixel) * C + channel
    a, inverse = _unit(tl.load(mine + place, inside, 0.0).to(tl.float32))
    b, _ = _unit(tl.load(theirs + place, inside, 0.0).to(tl.float32))
    weighted = tl.load(weights + channel, channel < C, 0.0) * (a - b) / pixels
    total = tl.sum(tl.sum(weighted * (a - b), 1), 0)
    tl.store(sums + program * tl.num_programs(1) + image, total)
    if v_mine is not None:
        # Huge where all features are zero, but the ReLU that made them lets none of it through.
        along = tl.sum(weighted * a, 1)[:, None]
        gradient = 2 * scale * inverse * (weighted - a * along)
        gradient = tl.minimum(tl.maximum(gradient, -LARGEST), LARGEST)
        tl.store(v_mine + place, gradient, inside)


def distance(
    image: Tensor,  # [B, 3, H, W] in [-1, 1]
    target: Tensor,  # [B, 3, H, W] in [-1, 1]
    network: nn.Module,  # the package's
) -> Tensor:  # [B]
    """LPIPS as the package defines it; gradients flow to the image.

    On a GPU the trunk runs in half precision. Its gradient is found at once and for a distance of
    weight one: so how much the distance weighs later costs no precision, and features are read
    once.
    """
    return _Distance.apply(image, target, network)


class _Distance(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, target, network):
        image = image.detach().requires_grad_(ctx.needs_input_grad[0])
        theirs = _features(target, network)
        with torch.enable_grad():
            mine = _features(image, network)
        weights = [head.model[-1].weight for head in network.lins]
        scale = SCALE * image[0, 0].numel() if image.requires_grad else 0.0
        distances, gradients = compare(mine, theirs, weights, scale)
        if scale:
            (gradient,) = torch.autograd.grad(mine, image, gradients)
            ctx.save_for_backward(gradient / scale)
        return distances

    @staticmethod
    @once_differentiable
    def backward(ctx, v):
        (gradient,) = ctx.saved_tensors
        return v[:, None, None, None] * gradient, None, None


def _features(image: Tensor, network: nn.Module) -> list[Tensor]:  # each [B, h, w, C]
    image = network.scaling_layer(image).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cuda", torch.float16, enabled=image.is_cuda):
        return [layer.permute(0, 2, 3, 1).contiguous() for layer in network.net(image)]


def compare(
    mine: list[Tensor],  # each [B, h, w, C]
    theirs: list[Tensor],  # each [B, h, w, C]
    weights: list[Tensor],  # each of C values
    scale: float,  # of the gradients; 0 for none
) -> tuple[Tensor, list[Tensor | None]]:  # [B], each [B, h, w, C]
    """Distances of images by their features, and gradients with respect to `mine`, scaled."""
    B = len(mine[0])
    sizes = [(layer[0, ..., 0].numel(), layer.shape[-1]) for layer in mine]
    tiles = [max(1, TILE // triton.next_power_of_2(C)) for _, C in sizes]
    programs = [triton.cdiv(size[0], tile) for size, tile in zip(sizes, tiles, strict=True)]
    sums = mine[0].new_empty(sum(programs), B, dtype=torch.float32)
    parts = sums.split(programs)
    gradients = [torch.empty_like(layer) if scale else None for layer in mine]
    for k, (pixels, C) in enumerate(sizes):
        measure[programs[k], B](
            mine[k], theirs[k], weights[k], parts[k], gradients[k], scale,
            pixels, C, tiles[k], triton.next_power_of_2(C), num_warps=8,
        )  # fmt: skip
    return sums.sum(0), gradients
