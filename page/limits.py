"""What one visitor, one clip and this machine may take: every limit of the page in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

PREFIX = "DS4D_"


@dataclass(frozen=True)
class Limits:
    """Each can be set by an environment variable: DS4D_ and the name in capitals."""

    clip_mb: float = 200
    """largest file that may be uploaded, MB"""
    clip_seconds: float = 60
    """longest clip, seconds"""
    clip_megapixels: float = 9.437184
    """largest frame of a clip, millions of pixels (4096 x 2304)"""
    frames: int = 96
    """most frames that a run may use"""
    jobs_per_visitor: int = 2
    """runs of one visitor that may wait or be computed at a time"""
    queue_length: int = 16
    """runs that may wait; whoever comes then is asked to come back"""
    abandon_minutes: float = 60
    """a run at which nobody has looked for so long is stopped; it can go on later"""
    keep_hours: float = 24
    """hours that a run is kept after somebody has last looked at it"""
    disk_gb: float = 20
    """disk for all runs together, GB; the oldest finished ones make room"""

    slice_seconds: float = 100
    """seconds of optimizing in one call of a GPU that is lent; its state is kept in between"""

    @classmethod
    def here(cls) -> Limits:
        """The limits with what the environment says."""
        asked = {field.name: os.environ.get(PREFIX + field.name.upper()) for field in fields(cls)}
        defaults = cls()
        return cls(
            **{
                name: type(getattr(defaults, name))(float(value))
                for name, value in asked.items()
                if value
            }
        )

    @property
    def clip_bytes(self) -> int:
        return round(self.clip_mb * 1e6)

    @property
    def clip_pixels(self) -> int:
        return round(self.clip_megapixels * 1e6)


LIMITS = Limits.here()
