"""Round Gaussians of one colour, for tests of exporters."""

from __future__ import annotations

import torch

from ds4d.splatting.splats import Splats

COLOR = (0.8, 0.4, 0.1)


def balls(*places: tuple[float, float, float], sigma: float = 0.1, opacity: float = 1.0) -> Splats:
    count = len(places)
    return Splats(
        torch.tensor(places),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        torch.full((count, 3), sigma),
        torch.full((count,), opacity),
        torch.tensor([COLOR]).repeat(count, 1),
    )
