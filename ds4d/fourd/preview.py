"""Preview images of a training."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..cameras import orbit_cameras
from ..images import tile
from .gaussians import deformed
from .model import Model
from .objective import Objective
from .tssf import Lookup

INTERVAL = 50  # steps between two previews


@torch.no_grad()
def preview(
    objective: Objective,
    model: Model,
    lookup: Lookup | None,  # None: the static stage, of the middle frame
    step: int,
    real: bool,  # whether all views are real: then no unseen camera is shown
) -> tuple[np.ndarray, float]:
    """A frame, its render and another view side by side [S, 3 S, 3] uint8, and the PSNR of the
    render in dB. Frame and view change from preview to preview."""
    targets, number = objective.targets, step // INTERVAL
    frames, device = len(objective.positions), model.gaussians.means.device
    frame = torch.tensor([frames // 2 if lookup is None else number % frames], device=device)
    offsets = objective.offsets(model, frame, lookup)
    moment, colors = deformed(model.gaussians, offsets), model.gaussians.colors(offsets.sh0)
    if real:
        other = targets.cameras[1 + number % (len(targets.cameras) - 1)]
    else:
        other = orbit_cameras([number * 15], 10.0, size=targets.cameras.width).to(device)
    images = [targets.select(frame, torch.zeros_like(frame)).rgb[0] / 255]
    for camera in (targets.cameras[0], other):
        rgb, _, _ = objective.render(model.gaussians, moment, camera, colors)
        images.append(rgb[0].clamp(0, 1))
    error = (images[1] - images[0]).square().mean().item()
    row = (torch.stack(images) * 255).round().to(torch.uint8).cpu().numpy()
    return tile(row, columns=3), -10 * math.log10(max(error, 1e-10))
