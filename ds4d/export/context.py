"""Export context: the asset, its run folder and its timing, shared by all writers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..config import ExportConfig
from ..fourd.asset import Asset
from ..run.workspace import Workspace
from ..splatting.splats import Splats


@dataclass(frozen=True)
class ExportContext:
    """A finished 4D asset, its run folder and its timing."""

    asset: Asset
    workspace: Workspace
    seconds: float  # duration of the animation, as in the videos
    moment: float = 0.5  # position in the clip, in [0, 1], for formats that hold one moment
    config: ExportConfig = field(default_factory=ExportConfig)

    def frames(self) -> Iterator[Splats]:
        """Gaussians of each training frame, in order."""
        return (self.asset.splats(position) for position in self.asset.positions.tolist())

    @property
    def times(self) -> list[float]:
        """Time of each training frame, seconds."""
        return [position * self.seconds for position in self.asset.positions.tolist()]
