"""L4GM's Gaussians: from the network's raw values, and as Gaussians of our world."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...cameras import project
from ...splatting.splats import Splats
from .frames import TURN, l4gm_cameras

HALO = 3  # pixels of 256 that a Gaussian's centre may lie beyond the front's silhouette
FAINT = 0.005  # opacity below which the published writer drops a Gaussian
# The turn to our world as a quaternion: a quarter about the x axis.
TURN_QUAT = (math.sqrt(0.5), math.sqrt(0.5))  # w, x


def activated(raw: Tensor) -> Tensor:
    """Gaussians [B * T, V * h * w, 14] of the network's output [B, T, V, 14, h, w], float32.

    Position, opacity, scales, quaternion (w, x, y, z), colour, in L4GM's world. A Gaussian's place
    is not bound to the ray of its pixel.
    """
    raw = raw.float().flatten(0, 1).movedim(2, -1).flatten(1, 3)
    means, opacities, scales, quats, colors = raw.split([3, 1, 3, 4, 3], -1)
    parts = [
        means.clamp(-1, 1),
        opacities.sigmoid(),
        0.1 * F.softplus(scales),
        F.normalize(quats, dim=-1),
        0.5 * colors.tanh() + 0.5,
    ]
    return torch.cat(parts, -1)


def to_splats(gaussians: Tensor, faint: float = FAINT) -> Splats:
    """Gaussians [N, 14] of one frame in our world, but those below an opacity."""
    gaussians = gaussians[gaussians[:, 3] >= faint]
    means, opacities, scales, quats, colors = gaussians.split([3, 1, 3, 4, 3], -1)
    w, x, y, z = quats.unbind(-1)
    a, b = TURN_QUAT
    turned = torch.stack([a * w - b * x, a * x + b * w, a * y - b * z, a * z + b * y], -1)
    return Splats(means @ TURN.T.to(means), turned, scales, opacities[:, 0], colors)


def cut_halo(
    splats: Splats,
    inside: np.ndarray,  # [S, S] bool, the front's silhouette as L4GM's camera sees it
) -> Splats:
    """The Gaussians that are not faint and whose centres lie in the front's visual hull.

    Others are the halo of near-white Gaussians that L4GM leaves around objects.
    """
    size = len(inside)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * HALO + 1, 2 * HALO + 1))
    hull = torch.from_numpy(cv2.dilate(inside.astype(np.uint8), kernel)) > 0
    pixels, _ = project(splats.means, l4gm_cameras([0.0], size).to(splats.means.device))
    columns, rows = pixels[0].floor().long().clamp(0, size - 1).unbind(-1)
    kept = hull.to(rows.device)[rows, columns] & (splats.opacities >= FAINT)
    return splats[kept]
