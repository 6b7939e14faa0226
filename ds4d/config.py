"""Every setting, its unit and its presets. The command line and the page derive from these fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ClipConfig:
    """How a clip is read and sampled, and what is too much."""

    frames: int = 24
    """frames that the clip is sampled to, evenly"""
    size: int = 256
    """side of the square frames, pixels"""
    margin: float = 0.1
    """free border around the object on each side, fraction of the square's side"""
    max_seconds: float = 60.0
    """longest clip that is accepted, seconds"""
    max_pixels: int = 4096 * 2304
    """largest frame that is accepted, pixels"""
    max_bytes: int = 200_000_000
    """largest file that is accepted, bytes"""


@dataclass(frozen=True)
class MattingConfig:
    engine: Literal["auto", "alpha", "classical"] = "auto"
    """who cuts the object out: alpha (the clip has it), classical (background model and GrabCut)"""


@dataclass(frozen=True)
class MultiviewConfig:
    engine: Literal["auto", "given", "inflate"] = "auto"
    """who makes the six views: given (a case folder has them), inflate (from the silhouette)"""
    views: str = "multiview"
    """folder of given views inside a case folder; none = ignore them"""


@dataclass(frozen=True)
class FeaturesConfig:
    engine: Literal["auto", "descriptors"] = "auto"
    """who describes the patches of each view: descriptors (colour, gradients, coverage)"""
    grid: int = 18
    """patches along a side of a view"""


@dataclass(frozen=True)
class MeshConfig:
    engine: Literal["auto", "visual_hull"] = "auto"
    """who makes the mesh of the middle frame: visual_hull (carved from the seven silhouettes)"""
    resolution: int = 96
    """cells along a side of the grid that is carved"""


@dataclass(frozen=True)
class VideoConfig:
    size: int = 384
    """side of the videos, pixels (even)"""
    seconds: float = 4.0
    """length of each video, seconds"""
    fps: int = 24
    """frames per second"""
