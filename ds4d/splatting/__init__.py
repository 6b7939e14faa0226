"""Differentiable rendering of 3D Gaussians."""

from __future__ import annotations

from .rasterize import rasterize
from .splats import Splats, render

__all__ = ["Splats", "rasterize", "render"]
