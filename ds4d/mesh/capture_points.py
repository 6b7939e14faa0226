"""The start of a scene: points on which its cameras agree, evenly thinned, instead of a mesh."""

from __future__ import annotations

import torch
from torch import Tensor

from ..run.events import Event, Stage

SPREAD = 0.02  # world units that a point strays where one is used several times


def run(
    points: Tensor,  # [M, 3] world
    colors: Tensor,  # [M, 3] in [0, 1]
    count: int,
    generator: torch.Generator,
) -> Stage[tuple[Tensor, Tensor]]:
    """Draw `count` points: each once where there are enough, else with copies strewn around."""
    order = torch.randperm(len(points), generator=generator)
    chosen = order.repeat(-(-count // len(points)))[:count]
    strayed = points[chosen]
    copies = len(strayed) - len(points)
    if copies > 0:
        strayed[-copies:] += SPREAD * torch.randn(copies, 3, generator=generator)
    yield Event("mesh", 1, 1, f"{count} points of {len(points)} on which the cameras agree")
    return strayed, colors[chosen]
