"""Every limit of the page: per visitor, per clip and per machine."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields, replace

from ds4d.config import ClipConfig

PREFIX = "DS4D_"


@dataclass(frozen=True)
class Limits:
    """Each can be set by an environment variable: DS4D_ and the name in upper case."""

    clip_mb: float = ClipConfig.max_bytes / 1e6
    """largest file that may be uploaded, MB"""
    clip_seconds: float = ClipConfig.max_seconds
    """longest clip, seconds"""
    clip_megapixels: float = ClipConfig.max_pixels / 1e6
    """largest frame of a clip, millions of pixels"""
    frames: int = 96
    """most frames that a run may use"""
    jobs_per_visitor: int = 2
    """runs of one visitor that may be queued or running at a time"""
    queue_length: int = 16
    """runs that may wait; further visitors are asked to come back later"""
    abandon_minutes: float = 60
    """a run that nobody has had open for this long is stopped; it can be resumed"""
    keep_hours: float = 24
    """hours that a run is kept after its last visit"""
    disk_gb: float = 20
    """disk space for all runs together, GB; the oldest inactive ones are deleted to make room"""
    drafts: int = 4
    """clips or pictures that a network makes to pick from"""
    network_clip_size: int = 512
    """side of the clips that networks make of a picture, pixels"""
    network_picture_size: int = 1024
    """side of the pictures that networks draw, pixels"""
    preflight_seconds: float = 45
    """longest time for the preflight of a clip, seconds"""
    preflight_gb: float = 4
    """most memory for the preflight of a clip, GB of address space"""
    trusted_hops: int = 0
    """proxies in front of the page whose X-Forwarded-For header is believed"""
    slice_seconds: float = 100
    """seconds of optimization in one ZeroGPU call; the state is saved in between"""

    @classmethod
    def from_environment(cls) -> Limits:
        """The defaults, changed by environment variables. A Space has one proxy in front of it.

        Raises:
            SystemExit: a variable is not a positive number.
        """
        defaults = cls(trusted_hops=1 if "SPACE_ID" in os.environ else 0)
        values = {}
        for each in fields(cls):
            variable = PREFIX + each.name.upper()
            if text := os.environ.get(variable):
                values[each.name] = type(getattr(defaults, each.name))(_number(variable, text))
        return replace(defaults, **values)

    @property
    def clip_bytes(self) -> int:
        return round(self.clip_mb * 1e6)

    @property
    def clip_pixels(self) -> int:
        return round(self.clip_megapixels * 1e6)


def _number(variable: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise SystemExit(f"{variable} must be 0 or a larger number, not {text!r}.")
    return number
