"""A tiny object of known motion: two blobs, one of which moves up."""

import dataclasses

import numpy as np
import pytest
import torch

from ds4d.cameras import rig_cameras
from ds4d.config import FourdConfig
from ds4d.multiview.views import Views
from ds4d.splatting.splats import Splats, render

FRAMES, SIZE = 5, 32


@dataclasses.dataclass
class Inputs:
    views: Views
    positions: torch.Tensor  # [T]
    features: torch.Tensor  # [T, V, h, w, D]
    points: torch.Tensor  # [N, 3]
    colors: torch.Tensor  # [N, 3]


def truth(position: float) -> Splats:
    """A static red blob on the left and a rising blue one on the right."""
    means = torch.tensor([[-0.2, 0.0, 0.0], [0.2, 0.0, 0.3 * position - 0.15]])
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(2, 1)
    colors = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9]])
    return Splats(means, quats, torch.full((2, 3), 0.06), torch.full((2,), 0.99), colors)


@pytest.fixture(scope="session")
def scene() -> Inputs:
    cameras = rig_cameras(SIZE)
    positions = torch.linspace(0, 1, FRAMES)
    frames = []
    for position in positions.tolist():
        rgb, alpha, _ = render(truth(position), cameras, background=0.0)
        straight = rgb / alpha.clamp(min=1e-3)
        frames.append(torch.cat([straight, alpha], -1).clamp(0, 1))
    images = (torch.stack(frames) * 255).round().byte().numpy()
    maps = torch.from_numpy(images.astype(np.float32) / 255)[:, :, ::4, ::4]
    generator = torch.Generator().manual_seed(0)
    middle = truth(0.5)
    points = middle.means.repeat(60, 1) + 0.05 * torch.randn(120, 3, generator=generator)
    return Inputs(Views(images, cameras), positions, maps, points, middle.colors.repeat(60, 1))


@pytest.fixture(scope="session")
def small_config() -> FourdConfig:
    """The preview preset in small, with widths that the default kernels support."""
    return dataclasses.replace(
        FourdConfig(),
        static_iterations=60, dynamic_iterations=240, image_size=SIZE,
        plane_size=8, plane_times=5, plane_width=16, feature_width=16, hidden_width=16,
        densify_from=20, densify_until=120, densify_every=40, max_gaussians=150,
        visibility_every=50, checkpoint_every=40,
    )  # fmt: skip
