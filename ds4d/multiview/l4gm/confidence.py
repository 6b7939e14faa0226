"""Confidence in the rendered views: how much of what they show the real front view has seen."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ...cameras import Cameras, project
from ...splatting.splats import Splats, render

LEAST = 0.5  # confidence in a view that shows nothing of what the front saw
BEHIND = 0.05  # world units behind the front's surface up to which a Gaussian counts as seen


def confidences(
    splats: Splats,
    cameras: Cameras,  # V, the front first
    rasterizer: str = "auto",
) -> np.ndarray:
    """Confidence in each view but the front [V - 1], in [LEAST, 1].

    It grows with the share of the view's object that consists of Gaussians seen from the front.
    """
    if not len(splats):
        return np.full(len(cameras) - 1, LEAST, np.float32)
    seen = _seen(splats, cameras[0], rasterizer).float()
    marked = Splats(
        splats.means, splats.quats, splats.scales, splats.opacities,
        seen[:, None].expand(-1, 3).contiguous(),
    )  # fmt: skip
    rgb, alpha, _ = render(marked, cameras[range(1, len(cameras))], 0.0, rasterizer)
    shares = rgb[..., 0].sum((1, 2)) / alpha[..., 0].sum((1, 2)).clamp(min=1e-6)
    return (LEAST + (1 - LEAST) * shares.clamp(0, 1)).cpu().numpy().astype(np.float32)


def _seen(splats: Splats, front: Cameras, rasterizer: str) -> Tensor:
    """Mask [N] of the Gaussians at most a little behind the surface that the front shows."""
    _, _, depth = render(splats, front, 0.0, rasterizer)
    pixels, depths = project(splats.means, front.to(depth.device))
    columns = pixels[0, :, 0].floor().long().clamp(0, front.width - 1)
    rows = pixels[0, :, 1].floor().long().clamp(0, front.height - 1)
    return depths[0] < depth[0, rows, columns, 0] + BEHIND
