"""Mattes of pictures that are known to have a plain background, as views drawn by a network.

The background of each picture is the colour of its rim. What differs from it is the object, and so
is what the object encloses without showing exactly that colour. The classical engine, which looks
for one background in all pictures, fails where their tints differ slightly, and takes five times as
long (docs/experiments.md, section 7).
"""

from __future__ import annotations

import numpy as np

from ..run.parallel import each
from .classical.alpha_edges import estimate_alpha
from .classical.color_models import lab
from .classical.likelihood import difference_log_odds, fill_holes
from .cleanup import bodies

RIM = 4  # pixels at the border, whose median colour is the background's
TO_DEVIATION = 1.4826  # from a median absolute deviation, of a Gaussian


def mattes(pictures: np.ndarray) -> np.ndarray:
    """Mattes [T, H, W] uint8 of pictures [T, H, W, 3] uint8 of one object over time.

    The largest connected body in (time, y, x) is kept, and what is large beside it.
    """
    labs = list(each(lab, pictures))
    masks = bodies(np.stack(list(each(_mask, labs))))
    return np.stack(list(each(_matte, labs, masks)))


def _mask(colors: np.ndarray) -> np.ndarray:
    """The pixels [H, W] of a picture [H, W, 3] Lab that are not the background."""
    plate, noise, known = _background(colors)
    return fill_holes(difference_log_odds(colors, plate, noise) > 0, colors, plate, known)


def _matte(colors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mask [H, W] of a picture [H, W, 3] Lab with soft edges, uint8."""
    plate, _, known = _background(colors)
    return (estimate_alpha(colors, mask, plate, known) * 255 + 0.5).astype(np.uint8)


def _background(colors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour [H, W, 3], noise [H, W] and certainty [H, W] of the background, float32."""
    rim = np.concatenate([
        side.reshape(-1, 3)
        for side in (colors[:RIM], colors[-RIM:], colors[:, :RIM], colors[:, -RIM:])
    ])  # fmt: skip
    color = np.median(rim, axis=0).astype(np.float32)
    noise = np.float32(TO_DEVIATION * np.median(np.abs(rim - color), axis=0).max())
    everywhere = np.ones(colors.shape[:2], np.float32)
    return np.broadcast_to(color, colors.shape), noise * everywhere, everywhere
