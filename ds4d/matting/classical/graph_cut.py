"""Graph cut: the mask that fits per-pixel log-odds best and whose outline follows edges."""

from __future__ import annotations

import cv2
import numpy as np

LEVELS = 64  # of log-odds; few against the 256 of the colours, whose edges the outline follows
MAX_LOG_ODDS = 8.0  # nats; stronger values weigh no more than this
GAMMA = 50.0  # GrabCut's own cost of a pixel of the outline


def cut(
    log_odds: np.ndarray,  # [H, W] float32, nats by which a pixel is likelier object than not
    lab: np.ndarray,  # [H, W, 3] float32, the image
    stiffness: float = 3.0,  # nats that a pixel of the outline costs where the image is flat
) -> np.ndarray:
    """The mask [H, W] bool of least cost (Boykov and Jolly, 2001).

    The cost is the log-odds that the mask contradicts, plus the outline's length, which is cheap
    where the image has edges. OpenCV's GrabCut minimizes this cost, but takes likelihoods of
    colours only. So the log-odds become a colour channel, and both mixtures get one fixed component
    that depends on this channel alone: of two Gaussians of equal width, the difference of
    log-likelihoods is linear in the value. A stiffness below 0.6 would let its densities underflow.
    """
    mask = np.where(log_odds > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    if not (mask == cv2.GC_PR_FGD).any() or (mask == cv2.GC_PR_FGD).all():
        return mask == cv2.GC_PR_FGD
    half = LEVELS / 2
    level = (log_odds / MAX_LOG_ODDS).clip(-1, 1) * half + half
    chroma = 0.7 * lab[..., 1:].sum(axis=-1) + 128
    image = np.dstack([level, 2.55 * lab[..., 0], chroma]).round().clip(0, 255).astype(np.uint8)
    # (x - b)^2 / 2 s^2 - (x - f)^2 / 2 s^2 = (f - b) (x - middle) / s^2: MAX_LOG_ODDS at x = f.
    variance = LEVELS * half / MAX_LOG_ODDS * stiffness / GAMMA
    background, foreground = _mixture(0, variance), _mixture(LEVELS, variance)
    cv2.grabCut(image, mask, None, background, foreground, 1, cv2.GC_EVAL_FREEZE_MODEL)
    return mask == cv2.GC_PR_FGD


def _mixture(level: float, variance: float) -> np.ndarray:
    """GrabCut's five Gaussians as [1, 65]: weights, means, covariances; only the first counts."""
    wide = 1e6  # variance of the colour channels, which have no influence
    model = np.zeros((5, 13))
    model[0, 0] = 1
    model[0, 1:4] = level, 128, 128
    model[:, 4:] = np.diag((variance, wide, wide)).ravel()
    return np.concatenate([model[:, 0], model[:, 1:4].ravel(), model[:, 4:].ravel()])[None]
