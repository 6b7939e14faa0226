"""What every format is written from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..run.workspace import Workspace
from ..splatting.splats import Splats

if TYPE_CHECKING:
    from ..fourd.asset import Asset


@dataclass(frozen=True)
class Scene:
    """A finished 4D asset, its run folder, and how it plays."""

    asset: Asset
    workspace: Workspace
    seconds: float  # that the clip takes to play, as in the videos
    moment: float = 0.5  # place in the clip, in [0, 1], for files that hold one moment

    def frames(self) -> Iterator[Splats]:
        """The Gaussians of each training frame."""
        return (self.asset.splats(position) for position in self.asset.positions.tolist())

    @property
    def times(self) -> list[float]:
        """When each training frame is shown, in seconds."""
        return [position * self.seconds for position in self.asset.positions.tolist()]
