"""Frames -> mattes: which pixels are the object."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..clip import Clip
from ..errors import UserError
from ..events import Stage
from . import alpha, classical

Engine = Callable[[np.ndarray], "Stage[np.ndarray]"]  # [T, H, W, 3 or 4] -> [T, H, W], uint8


def choose(name: str, clip: Clip) -> tuple[Engine, str, str]:
    """The engine for a clip: what runs, its name, and why it.

    Raises:
        UserError: "alpha" for a clip that has no alpha channel to speak of.
    """
    has_alpha = alpha.usable(clip.frames)
    if name == "alpha" and not has_alpha:
        raise UserError(
            "The clip has no transparent background.",
            "Choose the engine auto: it cuts the object out.",
        )
    if name == "classical":
        return classical.run, "classical", "asked for"
    if has_alpha:
        return alpha.run, "alpha", "the clip has a transparent background"
    return classical.run, "classical", "the clip has no alpha channel"
