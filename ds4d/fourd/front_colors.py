"""Colours fitted to the front view, the only real one, once all else is learned.

With places, shapes and opacities fixed, a render is linear in the colours. Each sweep adds to the
colours of a Gaussian the mean error of the pixels that show it, by how much they show it
(simultaneous iterative reconstruction, Gilbert 1972): what many more steps would come to.
"""

from __future__ import annotations

import torch

from .frame_weights import AT_ONCE
from .gaussians import SH_C0, Gaussians, deformed
from .model import Model
from .objective import Objective
from .tssf import Lookup

SWEEPS = 2
# Pixels of doubt: Gaussians that the front view hardly shows keep the colours of the other views.
DOUBT = 1.0


def fit_front_colors(objective: Objective, model: Model, lookup: Lookup) -> Gaussians:
    """The Gaussians of a model with colours nearer to the front view of every frame.

    Only the colours of moments (config.color_knots) are changed; without them, none are.
    """
    gaussians, positions = model.gaussians, objective.positions
    if not gaussians.sh0_knots.shape[1]:
        return gaussians
    targets, knots = objective.targets, gaussians.sh0_knots.detach()
    for _ in range(SWEEPS):
        knots.requires_grad_()
        gaussians = Gaussians(**{**gaussians.tensors(), "sh0_knots": knots})
        errors, shares = torch.zeros_like(knots), torch.zeros_like(knots)
        for frames in torch.arange(len(positions), device=knots.device).split(AT_ONCE):
            front = torch.zeros_like(frames)
            with torch.no_grad():
                moments = deformed(model.gaussians, objective.offsets(model, frames, lookup))
            colors = gaussians.colors(gaussians.sh0_offsets(positions[frames]))
            rgb, _, _ = objective.render(gaussians, moments, targets.cameras[front], colors)
            true_rgb, _ = targets.select(frames, front).as_floats(rgb.dtype)
            included = targets.included[frames, front][:, None, None, None]
            error = included * (true_rgb - rgb.detach())
            errors += torch.autograd.grad((error * rgb).sum(), knots, retain_graph=True)[0]
            shares += torch.autograd.grad((included * rgb).sum(), knots)[0]
        # Both are derivatives by coefficients, of which SH_C0 is the unit of a colour.
        knots = (knots + errors / (shares + SH_C0 * DOUBT) / SH_C0).detach()
    return Gaussians(**{**gaussians.tensors(), "sh0_knots": knots})
