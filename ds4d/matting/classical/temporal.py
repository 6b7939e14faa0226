"""Temporal smoothing of per-pixel log-odds along optical flow."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

LONGEST = 192  # pixels; of the images that flow is computed from
CERTAIN = 1.2  # nats; surer pixels take little from their neighbours
SIMILAR = 6.0  # grey levels by which a point may change from frame to frame


def smooth(
    log_odds: np.ndarray,  # [T, h, w] float32
    rgb: np.ndarray,  # [T, H, W, 3] uint8
) -> Iterator[np.ndarray]:
    """Yield each frame's log-odds [h, w], averaged with its neighbours' along dense flow.

    Flow by dense inverse search (Kroeger et al. 2016). Pixels that look different in a neighbour
    take nothing from it.
    """
    height, width = log_odds.shape[1:]
    scale = LONGEST / max(height, width)
    size = max(8, round(scale * width)), max(8, round(scale * height))
    grey = [
        cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        for f in rgb
    ]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    large = [cv2.resize(frame, (width, height)).astype(np.float32) for frame in grey]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for index, own in enumerate(log_odds):
        uncertain = np.exp(-((own / CERTAIN) ** 2))
        total, weights = own.copy(), np.ones_like(own)
        for neighbour in (index - 1, index + 1):
            if not 0 <= neighbour < len(log_odds):
                continue
            flow = dis.calc(grey[index], grey[neighbour], None)
            flow = cv2.resize(flow, (width, height)) / scale
            source = x + flow[..., 0], y + flow[..., 1]
            change = large[index] - _warp(large[neighbour], source)
            weight = uncertain * np.exp(-((change / SIMILAR) ** 2))
            total += weight * _warp(log_odds[neighbour], source)
            weights += weight
        yield total / weights


def _warp(image: np.ndarray, source: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The image sampled at source positions (x, y)."""
    return cv2.remap(image, *source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
