"""The embedded feature engine: hand-made descriptors of small patches.

A patch is described by its colours, by how they are laid out within it, by the directions of its
edges (Dalal and Triggs 2005, histograms of oriented gradients), by how much of it the object
covers, and by the same of its surroundings. White background is the origin of all parts but a
constant one, so the empty background is one and the same vector everywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..events import Event, Stage

PATCH = 14  # pixels along a side of a patch, as in DINOv2
BINS = 8  # directions of edges, over half a turn
WHITE = (100.0, 0.0, 0.0)  # CIE Lab
LAB_SCALE = 60.0  # Lab units that count as one
EDGE_FLOOR = 4.0  # Lab units of lightness per pixel below which edges fade
# What each part of the vector may weigh: chosen so that motion stands out and flicker does not.
WEIGHTS = {"constant": 1.0, "colour": 0.5, "layout": 0.5, "spread": 0.5, "edges": 0.5,
           "coverage": 0.5, "around": 0.5}  # fmt: skip


def run(
    images: np.ndarray,  # [T, V, S, S, 4] uint8 RGBA, straight alpha
    grid: int,  # patches along a side of a view
) -> Stage[Tensor]:
    """Features [T, V, grid, grid, D] float32 of unit norm; row 0 is the top of the image."""
    total, features = len(images), []
    for step, views in enumerate(images):
        features.append(torch.stack([describe(view, grid) for view in views]))
        yield Event("features", step + 1, total, "describing patches")
    return torch.stack(features)


def describe(
    image: np.ndarray,  # [S, S, 4] uint8 RGBA, straight alpha
    grid: int,
) -> Tensor:
    """Features [grid, grid, D] of one view."""
    lab, coverage = _on_white(image, grid * PATCH)  # [3, H, H], [1, H, H]
    edges = _edges(lab[:1])  # [BINS, H, H]
    half, patch = PATCH // 2, PATCH

    fine = F.avg_pool2d(torch.cat([lab, coverage])[None], half)  # quarters of patches
    quarters = F.pixel_unshuffle(fine, 2)[0].reshape(4, 4, grid, grid)
    mean = quarters.mean(1)  # [4, grid, grid]
    spread = (F.avg_pool2d(lab**2, patch) - mean[:3] ** 2).clamp(min=0).sqrt()
    hog = F.avg_pool2d(edges, patch)
    near = F.avg_pool2d(torch.cat([mean, hog])[None], 3, 1, 1, count_include_pad=False)[0]
    parts = {
        "constant": torch.ones(1, grid, grid),
        "colour": mean[:3],
        "layout": (quarters - mean[:, None]).flatten(0, 1),
        "spread": spread,
        "edges": _normalised(hog),
        "coverage": mean[3:],
        "around": torch.cat([near[:4], _normalised(near[4:])]),
    }
    features = torch.cat([WEIGHTS[name] * part for name, part in parts.items()])
    return F.normalize(features.permute(1, 2, 0), dim=-1)


def _on_white(image: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
    """Lab relative to white [3, size, size] and coverage [1, size, size] of the scaled view."""
    pixels = image.astype(np.float32) / 255
    alpha = pixels[..., 3:]
    pixels = np.concatenate([pixels[..., :3] * alpha + 1 - alpha, alpha], -1)
    shrinks = size <= len(image)
    pixels = cv2.resize(
        pixels, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    lab = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2LAB)
    lab = (lab - np.float32(WHITE)) / LAB_SCALE
    return torch.from_numpy(lab).permute(2, 0, 1), torch.from_numpy(pixels[..., 3])[None]


def _edges(lightness: Tensor) -> Tensor:
    """Gradient strength [BINS, H, H] by direction; each pixel is shared by its two nearest bins."""
    padded = F.pad(lightness[None], (1, 1, 1, 1), mode="replicate")[0, 0]
    dx = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    dy = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    place = torch.atan2(dy, dx) / torch.pi % 1 * BINS  # half a turn has BINS bins
    bins = torch.arange(BINS)[:, None, None]
    away = (place - bins).abs()
    share = (1 - torch.minimum(away, BINS - away)).clamp(min=0)
    return share * torch.hypot(dx, dy)


def _normalised(histogram: Tensor) -> Tensor:
    """Contrast-normalised: at most unit length, less where there is hardly an edge; [BINS, ...]."""
    return histogram / (histogram.norm(dim=0) + EDGE_FLOOR / LAB_SCALE)
