"""Every limit of the page: per visitor, per clip and per machine."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

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
    slice_seconds: float = 100
    """seconds of optimization in one ZeroGPU call; the state is saved in between"""

    @classmethod
    def from_environment(cls) -> Limits:
        """The defaults, changed by environment variables."""
        defaults = cls()
        values = {}
        for each in fields(cls):
            if text := os.environ.get(PREFIX + each.name.upper()):
                values[each.name] = type(getattr(defaults, each.name))(float(text))
        return cls(**values)

    @property
    def clip_bytes(self) -> int:
        return round(self.clip_mb * 1e6)

    @property
    def clip_pixels(self) -> int:
        return round(self.clip_megapixels * 1e6)
