"""Training losses of the shape prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ds4d.multiview.shape_prior.network import (
    Encoded,
    Surfaces,
    azimuth_targets,
    soft_targets,
)

from .views import Clips

LARGEST_STEP = 0.1  # widths: larger differences of depth between neighbours weigh no more
FEWEST = 16  # pixels: frames with fewer weigh less
SPREADS = (-6.0, 1.0)  # range of log spreads
POOLED = 4  # pixels along each side of a pixel of the silhouettes from other azimuths
COLUMNS = 64  # of these silhouettes
REACH = 0.8  # widths: their columns are as far as this from the object's middle
SOFT = 0.0125  # widths: softness of their outlines
FAR = 10.0  # widths: farther than anything
TURNS = math.radians(25), math.radians(155)  # range of these azimuths, to either side
WEIGHTS = {
    "front": 1.0,
    "back": 1.0,
    "middle": 1.0,
    "half": 2.0,
    "steps": 1.0,
    "colors": 0.5,
    "regions": 0.5,
    "extents": 1.0,
    "target": 3.0,
    "outlines": 0.3,
    "slants": 0.3,
    "azimuths": 0.05,
    "spreads": 0.02,
}


def losses(
    surfaces: Surfaces, encoded: Encoded, clips: Clips, rng: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Each term of the loss, before its weight; every frame weighs the same."""
    mask = clips.mask.flatten(0, 1)
    front, back = clips.front.flatten(0, 1), clips.back.flatten(0, 1)
    colors = clips.back_colors.flatten(0, 1)
    weight = mask / mask.sum((1, 2), keepdim=True).clamp(min=FEWEST) / len(mask)

    def mean(errors: Tensor) -> Tensor:
        return (errors * weight).sum()

    front_error = (surfaces.front - front).abs()
    back_error = (surfaces.back - back).abs()
    color_error = (surfaces.back_colors - colors).abs().mean(1)
    errors = torch.stack([front_error, back_error, color_error], 1).detach()
    spreads = surfaces.log_spreads.clamp(*SPREADS)
    likelihood = (errors * (-spreads).exp() + spreads).mean(1)
    known = mask[:, None].float()
    faces = clips.faces[:, None].float()
    return {
        "front": mean(front_error),
        "back": mean(back_error),
        "middle": mean((surfaces.middle - (front + back) / 2).abs()),
        "half": mean((surfaces.half - (back - front) / 2).abs()),
        "steps": _steps(surfaces.front, front, mask) + _steps(surfaces.back, back, mask),
        "colors": mean(color_error),
        "regions": sum(_regions(surfaces.back_colors, colors, known, size) for size in (4, 16)),
        "extents": (surfaces.extents - clips.extents).abs().mean(),
        "target": (surfaces.targets - clips.targets).abs().mean(),
        "outlines": _outlines(surfaces, clips, rng),
        "slants": _surprise(encoded.slants, soft_targets(clips.slants)).mean(),
        "azimuths": (_surprise(encoded.azimuths, azimuth_targets(clips.azimuths)) * faces).mean(),
        "spreads": mean(likelihood),
    }


def total(terms: dict[str, Tensor]) -> Tensor:
    """The weighted sum."""
    return sum(weight * terms[name] for name, weight in WEIGHTS.items())


def _surprise(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy [B, T] of logits [B, T, bins]."""
    return -(targets * logits.float().log_softmax(-1)).sum(-1)


def _steps(predicted: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """Error of differences between pixels that are 1 and 4 apart."""
    loss = predicted.new_zeros(())
    for apart in (1, 4):
        for axis in (1, 2):
            size = predicted.shape[axis] - apart
            step = lambda x: x.narrow(axis, apart, size) - x.narrow(axis, 0, size)  # noqa: B023, E731
            both = mask.narrow(axis, apart, size) & mask.narrow(axis, 0, size)
            clipped = step(true).clamp(-LARGEST_STEP, LARGEST_STEP)
            error = (step(predicted).clamp(-LARGEST_STEP, LARGEST_STEP) - clipped).abs()
            loss = loss + (error * both).sum() / both.sum().clamp(min=1)
    return loss / 4


def _outlines(surfaces: Surfaces, clips: Clips, rng: torch.Generator | None) -> Tensor:
    """1 - IoU of the silhouettes from a random azimuth for each clip."""
    B, T = clips.slants.shape
    draw = torch.rand(2, B, device=clips.mask.device, generator=rng)
    turns = TURNS[0] + (TURNS[1] - TURNS[0]) * draw[0]
    turns = torch.where(draw[1] < 0.5, turns, -turns).repeat_interleave(T)
    mask = clips.mask.flatten(0, 1)
    own, true = (
        silhouettes(front - middle, back - middle, mask, turns)
        for front, back, middle in (
            (surfaces.front, surfaces.back, _by_frame(surfaces.targets, T)),
            (clips.front.flatten(0, 1), clips.back.flatten(0, 1), _by_frame(clips.targets, T)),
        )
    )
    both = (own * true).sum((1, 2))
    either = (own + true).sum((1, 2)) - both
    return 1 - (both / either.clamp(min=1)).mean()


def silhouettes(front: Tensor, back: Tensor, mask: Tensor, turns: Tensor) -> Tensor:
    """Soft silhouettes [N, rows, COLUMNS] of what is between two surfaces [N, S, S], from other
    azimuths [N], radians, without perspective.

    Mean depths of squares count, not the farthest: a single pixel must not fill a square's outline.
    """
    share = avg_pool2d(mask.float(), POOLED)
    nearest, farthest = (
        avg_pool2d(depth * mask, POOLED) / share.clamp(min=1e-3) for depth in (front, back)
    )
    empty, size = share == 0, share.shape[-1]
    place = (torch.arange(size, device=mask.device) + 0.5) / size - 0.5
    cos, sin = (f(turns)[:, None, None] for f in (torch.cos, torch.sin))
    ends = torch.stack([sin * nearest, sin * farthest])
    half = cos.abs() / size / 2  # of a pixel
    left = (ends.amin(0) + cos * place - half).where(~empty, FAR)  # [N, rows, columns]
    right = (ends.amax(0) + cos * place + half).where(~empty, -FAR)
    seen = (torch.arange(COLUMNS, device=mask.device) + 0.5) * (2 * REACH / COLUMNS) - REACH
    within = torch.minimum(seen - left[..., None], right[..., None] - seen).amax(2)
    return (within / SOFT).clamp(min=-30).sigmoid()


def _by_frame(values: Tensor, frames: int) -> Tensor:
    """Values of clips [B] as [B * frames, 1, 1]."""
    return values.repeat_interleave(frames)[:, None, None]


def _regions(predicted: Tensor, true: Tensor, known: Tensor, size: int) -> Tensor:
    """Error of mean colours over squares, weighted by how much of the object they hold."""
    share = avg_pool2d(known, size)
    error = (avg_pool2d(predicted * known, size) - avg_pool2d(true * known, size)).abs().mean(1)
    return error.sum() / share.sum().clamp(min=1e-3)
