"""Renders of Gaussians as pictures with straight alpha."""

from __future__ import annotations

import numpy as np
import torch

from ...cameras import Cameras
from ...splatting.splats import Splats, render

LEAST_ALPHA = 1 / 512  # below it a pixel is clear in eight bits


def render_rgba(splats: Splats, cameras: Cameras, rasterizer: str = "auto") -> np.ndarray:
    """Images [C, H, W, 4] uint8, RGBA with straight alpha."""
    if not len(splats):
        return np.zeros((len(cameras), cameras.height, cameras.width, 4), np.uint8)
    rgb, alpha, _ = render(splats, cameras, 0.0, rasterizer)
    straight = torch.cat([rgb / alpha.clamp(min=LEAST_ALPHA), alpha], -1).clamp(0, 1)
    return (straight * 255).round().byte().cpu().numpy()
