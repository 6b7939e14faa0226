"""Embedded feature engine: hand-crafted descriptors of small patches.

A descriptor consists of the patch's mean colour, the colours of its quarters, their standard
deviation, a histogram of oriented gradients (Dalal and Triggs 2005), the coverage by the object,
and the same of the surroundings. All parts but a constant one are zero for white background, so
empty background is one and the same vector everywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..run.events import Event, Stage, gathered
from ..run.parallel import each

PATCH = 14  # pixels along a side of a patch, as in DINOv2
BINS = 8  # orientations of edges over 180 degrees
WHITE = (100.0, 0.0, 0.0)  # CIE Lab
LAB_SCALE = 60.0  # Lab units that count as one: a strong contrast within an object
EDGE_FLOOR = 4.0  # Lab units of lightness per pixel, the contrast at which edges weigh half
# Chosen for a dynamic map that responds to motion and not to flicker (docs/experiments.md).
WEIGHTS = {"constant": 1.0, "color": 0.5, "layout": 1.0, "deviation": 0.5, "edges": 1.0,
           "coverage": 0.5, "surroundings": 0.25}  # fmt: skip


def run(
    images: np.ndarray,  # [T, V, S, S, 4] uint8 RGBA, straight alpha
    grid: int,  # patches along a side of a view
) -> Stage[Tensor]:
    """Compute features [T, V, grid, grid, D] float32 of unit norm; row 0 is the top."""

    def describe_all(views: np.ndarray) -> np.ndarray:
        return np.stack([describe(view, grid) for view in views])

    event = Event("features", 0, len(images), "describing patches")
    features = yield from gathered(each(describe_all, images), event)
    return torch.from_numpy(np.stack(features))


def describe(
    image: np.ndarray,  # [S, S, 4] uint8 RGBA, straight alpha
    grid: int,
) -> np.ndarray:
    """Compute features [grid, grid, D] float32 of one view."""
    pixels = _on_white(image, grid * PATCH)  # [H, H, 4] Lab and coverage
    fine = _averaged(pixels, 2 * grid)
    quarters = fine.reshape(grid, 2, grid, 2, 4).swapaxes(1, 2).reshape(grid, grid, 4, 4)
    mean = quarters.mean(2)
    variance = _averaged(pixels[..., :3] ** 2, grid) - mean[..., :3] ** 2
    edges = _edges(pixels[..., 0], grid)
    blurred = cv2.blur(np.concatenate([mean, edges], -1), (3, 3), borderType=cv2.BORDER_REPLICATE)
    parts = {
        "constant": np.ones((grid, grid, 1), np.float32),
        "color": mean[..., :3],
        "layout": (quarters - mean[:, :, None]).reshape(grid, grid, 16),
        "deviation": np.sqrt(variance.clip(0)),
        "edges": _normalized(edges),
        "coverage": mean[..., 3:],
        "surroundings": np.concatenate([blurred[..., :4], _normalized(blurred[..., 4:])], -1),
    }
    features = np.concatenate([WEIGHTS[name] * part for name, part in parts.items()], -1)
    return features / np.linalg.norm(features, axis=-1, keepdims=True)


def _on_white(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a view over white: Lab relative to white, and coverage, [size, size, 4]."""
    pixels = image.astype(np.float32) / 255
    pixels[..., :3] = 1 - (1 - pixels[..., :3]) * pixels[..., 3:]
    interpolation = cv2.INTER_AREA if size <= len(image) else cv2.INTER_LINEAR
    pixels = cv2.resize(pixels, (size, size), interpolation=interpolation)
    lab = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2LAB)
    pixels[..., :3] = (lab - np.float32(WHITE)) / LAB_SCALE
    return pixels


def _averaged(pixels: np.ndarray, size: int) -> np.ndarray:
    """Average over equal squares, [size, size, K]."""
    return cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)


def _edges(lightness: np.ndarray, grid: int) -> np.ndarray:
    """Histogram of oriented gradients per patch, [grid, grid, BINS].

    Each pixel's gradient magnitude is divided linearly between the two nearest bins; opposite
    directions share a bin.
    """
    dx = cv2.Sobel(lightness, cv2.CV_32F, 1, 0, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
    dy = cv2.Sobel(lightness, cv2.CV_32F, 0, 1, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
    strength = np.hypot(dx, dy)
    row, column = np.nonzero(strength > 1e-4)
    strength = strength[row, column]
    position = np.arctan2(dy[row, column], dx[row, column]) / np.pi % 1 * BINS
    low = position.astype(int)
    patch = (row // PATCH * grid + column // PATCH) * BINS
    slots = np.concatenate([patch + low % BINS, patch + (low + 1) % BINS])
    shares = np.concatenate([strength * (1 - position + low), strength * (position - low)])
    sums = np.bincount(slots, shares, grid * grid * BINS) / PATCH**2
    return sums.reshape(grid, grid, BINS).astype(np.float32)


def _normalized(histogram: np.ndarray) -> np.ndarray:
    """Normalize the contrast: nearly unit length, less where edges are weak."""
    length = np.linalg.norm(histogram, axis=-1, keepdims=True)
    return histogram / (length + EDGE_FLOOR / LAB_SCALE)
