"""Evidence that holds still: what the frames before and after say about the same points."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

LONGEST = 192  # pixels; of the pictures that movements are read from
SURE = 1.2  # nats; a pixel that is surer than this by itself hears little of its neighbours
ALIKE = 6.0  # grey levels by which a point may change from frame to frame


def steadied(
    evidence: np.ndarray,  # [T, h, w] float32
    rgb: np.ndarray,  # [T, H, W, 3] uint8
) -> Iterator[np.ndarray]:
    """Yields each frame's evidence [h, w], averaged with its neighbours' along dense flow (DIS,
    Kroeger 2016). Where a neighbour looks different there, it has no say."""
    height, width = evidence.shape[1:]
    scale = LONGEST / max(height, width)
    size = max(8, round(scale * width)), max(8, round(scale * height))
    grey = [
        cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        for f in rgb
    ]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    large = [cv2.resize(frame, (width, height)).astype(np.float32) for frame in grey]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for index, own in enumerate(evidence):
        unsure = np.exp(-((own / SURE) ** 2))
        total, weights = own.copy(), np.ones_like(own)
        for other in (index - 1, index + 1):
            if not 0 <= other < len(evidence):
                continue
            flow = cv2.resize(dis.calc(grey[index], grey[other], None), (width, height)) / scale
            there = x + flow[..., 0], y + flow[..., 1]
            change = large[index] - _moved(large[other], there)
            weight = unsure * np.exp(-((change / ALIKE) ** 2))
            total += weight * _moved(evidence[other], there)
            weights += weight
        yield total / weights


def _moved(image: np.ndarray, places: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return cv2.remap(image, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
