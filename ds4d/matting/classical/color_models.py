"""Colour models of matting: CIE Lab, distances, and histograms of object and background."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

BINS = 24  # along each axis of Lab
MIN_DENSITY = 1e-5  # density of a colour that was never seen
UNIFORM_SHARE = 0.2  # share of the object's colours that may be any colour


def lab(rgb: np.ndarray) -> np.ndarray:
    """Convert [..., 3] uint8 or 0..255 to Lab, [..., 3] float32."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def length(vectors: np.ndarray) -> np.ndarray:
    """Euclidean length of vectors [..., C]: [...]."""
    return np.sqrt(np.einsum("...c,...c->...", vectors, vectors))


def histogram(lab: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Smoothed histogram [BINS, BINS, BINS], sum 1, of colours [..., 3] with weights [...]."""
    counts = np.bincount(_bins(lab).ravel(), weights.ravel(), BINS**3).reshape((BINS,) * 3)
    smooth = ndimage.gaussian_filter(counts, 0.8)
    return (smooth / max(smooth.sum(), 1e-9)).astype(np.float32)


def log_odds(
    lab: np.ndarray,  # [..., 3]
    foreground: np.ndarray,  # histogram of the object
    background: np.ndarray,  # histogram of the background
) -> np.ndarray:
    """Log-likelihood ratio, nats, of colours belonging to the object: [...] float32."""
    # Colours of real objects fill about a surface in Lab: BINS^2 bins.
    foreground = (1 - UNIFORM_SHARE) * foreground + UNIFORM_SHARE / BINS**2
    ratio = np.log((foreground + MIN_DENSITY) / (background + MIN_DENSITY))
    return ratio.ravel()[_bins(lab)]


def _bins(lab: np.ndarray) -> np.ndarray:
    """Flat bin numbers [...] of colours [..., 3]."""
    scale, middle = np.float32([0.2, 0.15, 0.15]), np.float32([0, BINS / 2, BINS / 2])
    bins = (lab * scale + middle).clip(0, BINS - 1).astype(np.int32)
    return (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]
