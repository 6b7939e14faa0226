"""Cut-outs to animate: a person with two legs and two arms, an animal, a pot."""

from __future__ import annotations

import numpy as np

SIZE = 192


def _capsule(canvas: np.ndarray, start: tuple, end: tuple, radius: float, color: tuple) -> None:
    """Draw a thick line with round ends into a float canvas [S, S, 4], soft at its edge."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    (x0, y0), (x1, y1) = start, end
    long = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-9)
    share = (((columns - x0) * (x1 - x0) + (rows - y0) * (y1 - y0)) / long).clip(0, 1)
    away = np.hypot(columns - x0 - share * (x1 - x0), rows - y0 - share * (y1 - y0))
    alpha = (radius + 0.5 - away).clip(0, 1)[..., None]
    canvas[..., :3] = np.where(alpha > 0, np.array(color) / 255, canvas[..., :3])
    canvas[..., 3:] = np.maximum(canvas[..., 3:], alpha)


def _drawn(*parts: tuple) -> np.ndarray:
    canvas = np.zeros((SIZE, SIZE, 4))
    for part in parts:
        _capsule(canvas, *part)
    return (canvas * 255 + 0.5).astype(np.uint8)


def person() -> np.ndarray:
    """Seen from the front, arms stretched out, [SIZE, SIZE, 4] uint8."""
    return _drawn(
        ((96, 70), (96, 112), 20, (200, 60, 60)),
        ((96, 36), (96, 40), 17, (230, 180, 140)),
        ((86, 118), (80, 172), 7, (60, 60, 160)),
        ((106, 118), (112, 172), 7, (60, 60, 160)),
        ((84, 70), (36, 84), 6, (230, 180, 140)),
        ((108, 70), (156, 84), 6, (230, 180, 140)),
    )


def animal() -> np.ndarray:
    """Seen from the side: four legs, a neck on the right, a tail on the left."""
    legs = [((x, 100), (x, 158), 6, (120, 80, 40)) for x in (52, 72, 116, 136)]
    return _drawn(
        ((54, 96), (134, 96), 20, (150, 100, 50)),
        *legs,
        ((138, 88), (168, 48), 9, (150, 100, 50)),
        ((44, 90), (16, 66), 5, (120, 80, 40)),
    )


def pot() -> np.ndarray:
    """A tall, round thing without limbs."""
    return _drawn(((96, 60), (96, 140), 34, (90, 140, 90)))
