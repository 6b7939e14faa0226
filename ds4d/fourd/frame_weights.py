"""Weights of the frames in sampling: larger where the front view is drawn worse.

A pose that few frames show is fitted late, because most steps see other frames.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .gaussians import deformed
from .model import Model
from .objective import Objective
from .tssf import Lookup

INTERVAL = 250  # dynamic steps between two updates
AT_ONCE = 12  # frames drawn together
LARGEST = 3.0  # ratio of a weight to the mean, or of the mean to a weight


@torch.no_grad()
def front_errors(objective: Objective, model: Model, lookup: Lookup) -> Tensor:  # [T]
    """Mean squared errors of the colours in the front view of each frame."""
    targets, device = objective.targets, model.gaussians.means.device
    errors = []
    for frames in torch.arange(len(objective.positions), device=device).split(AT_ONCE):
        front = torch.zeros_like(frames)
        offsets = objective.offsets(model, frames, lookup)
        moments, colors = deformed(model.gaussians, offsets), model.gaussians.colors(offsets.sh0)
        rgb, _, _ = objective.render(model.gaussians, moments, targets.cameras[front], colors)
        true_rgb, _ = targets.select(frames, front).as_floats(rgb.dtype)
        errors.append((rgb - true_rgb).square().mean((1, 2, 3)))
    return torch.cat(errors)


def weights(errors: Tensor, power: float) -> np.ndarray:  # [T] -> [T]
    """Weights of mean 1 that rise with a power of the errors, within LARGEST of the mean."""
    found = errors.double().cpu().numpy().clip(1e-12) ** power
    for _ in range(5):  # clipping changes the mean
        found = (found / found.mean()).clip(1 / LARGEST, LARGEST)
    return found / found.mean()
