"""Colours as matting sees them: Lab, distances, and how common a colour is."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

BINS = 24  # along each axis of Lab
RAREST = 1e-5  # density of a colour that was never seen
UNKNOWN = 0.2  # share of the object's colours that may be any colour


def lab(rgb: np.ndarray) -> np.ndarray:
    """[..., 3] uint8 or 0..255 as Lab, [..., 3] float32."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def rgb(lab: np.ndarray) -> np.ndarray:
    """The way back: [H, W, 3] float32 in 0..255."""
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1) * 255


def length(vectors: np.ndarray) -> np.ndarray:
    """[..., C] -> [...]."""
    return np.sqrt(np.einsum("...c,...c->...", vectors, vectors))


def palette(lab: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How common colours are among pixels [...] that count with weights [...], smoothed:
    [BINS, BINS, BINS], sum 1."""
    counts = np.bincount(_bins(lab).ravel(), weights.ravel(), BINS**3).reshape((BINS,) * 3)
    smooth = ndimage.gaussian_filter(counts, 0.8)
    return (smooth / max(smooth.sum(), 1e-9)).astype(np.float32)


def likelier(lab: np.ndarray, in_object: np.ndarray, in_background: np.ndarray) -> np.ndarray:
    """Nats by which colours [..., 3] speak for the object, by both palettes: [...] float32."""
    a = (1 - UNKNOWN) * in_object + UNKNOWN / BINS**2  # real colours fill about a surface
    ratio = np.log((a + RAREST) / (in_background + RAREST))
    return ratio.ravel()[_bins(lab)]


def _bins(lab: np.ndarray) -> np.ndarray:
    bins = (lab * (0.2, 0.15, 0.15) + (0, BINS / 2, BINS / 2)).clip(0, BINS - 1).astype(np.intp)
    return np.ravel_multi_index(tuple(np.moveaxis(bins, -1, 0)), (BINS,) * 3)
