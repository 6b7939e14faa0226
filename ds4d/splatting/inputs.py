"""The inputs that every backend of the rasterizer takes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """N Gaussians, C cameras and an image size, checked; a leading axis of 1 is shared by all
    cameras."""

    means: Tensor  # [1 or C, N, 3] world
    quats: Tensor  # [1 or C, N, 4] w, x, y, z, of any length but zero
    scales: Tensor  # [1 or C, N, 3] linear, world units
    opacities: Tensor  # [1 or C, N] in [0, 1]
    colors: Tensor  # [1 or C, N, D]
    offsets: Tensor  # [C, N, 2] pixels, added to the projected centres
    backgrounds: Tensor  # [C, D]
    viewmats: Tensor  # [C, 4, 4] world to camera, OpenCV axes
    Ks: Tensor  # [C, 3, 3] pixels
    width: int  # pixels
    height: int  # pixels
    antialiased: bool

    @property
    def sizes(self) -> tuple[int, int, int]:
        """C, N and D."""
        return len(self.viewmats), self.means.shape[1], self.colors.shape[2]
