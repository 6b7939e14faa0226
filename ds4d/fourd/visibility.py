"""Visibility of the Gaussians in the views while they are optimized."""

from __future__ import annotations

from torch import Tensor

from ..cameras import Cameras
from ..config import FourdConfig
from .gaussians import Gaussians
from .tssf import Lookup


class Visibility:
    """The lookup of view features, refreshed every config.visibility_every steps."""

    def __init__(self, config: FourdConfig, cameras: Cameras, rasterizer: str):
        self.config, self.cameras, self.rasterizer = config, cameras, rasterizer
        self.lookup: Lookup | None = None  # until the first refresh, and after `reset`
        self.version = 0  # changes when the lookup's tensors are replaced, not refilled

    def compute(self, gaussians: Gaussians) -> Lookup:
        """The lookup of these Gaussians, which is not kept."""
        mode = self.config.visibility if self.config.features != "none" else "none"
        return Lookup.of(
            gaussians, self.cameras, mode, self.config.depth_tolerance, self.rasterizer
        )

    def refresh(self, gaussians: Gaussians, step: int) -> None:
        """Compute the lookup again where there is none, or when it is due at this step."""
        if self.lookup is None:
            self.lookup = self.compute(gaussians)
            self.version += 1
        elif step % self.config.visibility_every == 0:
            lookup = self.compute(gaussians)  # in place: a captured CUDA graph reads from there
            self.lookup.grid.copy_(lookup.grid)
            self.lookup.visible.copy_(lookup.visible)

    def reset(self) -> None:
        """Forget the lookup: there are other Gaussians."""
        self.lookup = None
        self.version += 1

    def state_dict(self) -> dict[str, Tensor]:
        if self.lookup is None:
            return {}
        return {"grid": self.lookup.grid, "visible": self.lookup.visible}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.lookup = Lookup(state["grid"], state["visible"]) if state else None
