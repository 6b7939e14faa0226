"""The 4D asset: canonical Gaussians, deformation network and reduced view features."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..cameras import Cameras, Similarity
from ..config import FourdConfig
from ..errors import UserError, reading
from ..run.structure import structure
from ..splatting.splats import Splats
from .checkpoint import part
from .deformation import Deformation, build_deformation
from .gaussians import Gaussians, Offsets, snapshot
from .tssf import Lookup

FORMAT = "ds4d asset 1"


@dataclasses.dataclass
class Asset:
    """Everything that rendering the object from any camera at any moment of the clip needs."""

    gaussians: Gaussians
    network: Deformation
    maps: Tensor  # [T, V, h, w, C] float16, reduced features of each frame; empty without any
    lookup: Lookup
    positions: Tensor  # [T] place of each frame in the clip, from 0 to 1, on the CPU
    cameras: Cameras  # the V cameras of the optimization; 0 is the front view
    config: FourdConfig
    capture_to_world: Similarity | None = None  # of a multi-camera capture; None without one

    def __post_init__(self):
        self._offsets: dict[int, Offsets] = {}  # by frame, computed once

    @torch.no_grad()
    def splats(self, position: float) -> Splats:
        """N Gaussians at a position in the clip, in [0, 1]; N is the same everywhere.

        Between two frames the Gaussians move in straight lines: at moments that it was not trained
        on, the network is not reliable.
        """
        after = int(torch.searchsorted(self.positions, position).clamp(1, len(self.positions) - 1))
        start, end = self.positions[after - 1 : after + 1].tolist()
        share = min(max((position - start) / (end - start), 0.0), 1.0)
        before, after = self._frame(after - 1), self._frame(after)
        return snapshot(self.gaussians, before.interpolate(after, share), self.config.antialiased)

    def _frame(self, frame: int) -> Offsets:
        """Offsets at a frame of the clip."""
        if frame not in self._offsets:
            position, means = float(self.positions[frame]), self.gaussians.means
            offsets = self.network(means, position, self.maps[frame].float(), self.lookup)
            offsets.sh0 = self.gaussians.sh0_offsets(means.new_tensor([position]))
            self._offsets[frame] = offsets
        return self._offsets[frame]

    def to(self, device: torch.device | str) -> Asset:
        """A copy on a device."""
        gaussians = Gaussians(**{k: v.to(device) for k, v in self.gaussians.tensors().items()})
        lookup = Lookup(self.lookup.grid.to(device), self.lookup.visible.to(device))
        return Asset(
            gaussians, copy.deepcopy(self.network).to(device), self.maps.to(device), lookup,
            self.positions, self.cameras.to(device), self.config, self.capture_to_world,
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write fourd.safetensors: tensors by name, settings as metadata."""
        tensors = {f"gaussians.{k}": v for k, v in self.gaussians.tensors().items()}
        tensors |= {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {
            "maps": self.maps,
            "visible": self.lookup.visible.to(torch.uint8),
            "positions": self.positions,
            "viewmats": self.cameras.viewmats,
            "Ks": self.cameras.Ks,
        }
        metadata = {
            "format": FORMAT,
            "config": json.dumps(dataclasses.asdict(self.config)),
            "image_size": json.dumps([self.cameras.width, self.cameras.height]),
        }
        if self.capture_to_world is not None:
            metadata["scene"] = self.capture_to_world.to_json()
        save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path, metadata)

    @classmethod
    def load(cls, path: Path) -> Asset:
        """Read an asset that `save` wrote.

        Raises:
            UserError: there is no such file, or it is not an asset.
        """
        if not path.exists():
            raise UserError(
                f"There is no 4D asset in {path.parent}.", "Run generate to its end first."
            )
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise UserError(f"{path.name} cannot be read: {error}.") from error
        if metadata.get("format") != FORMAT:
            raise UserError(f"{path.name} is not a 4D asset of this version.")
        with reading(path):
            return cls._from(tensors, metadata)

    @classmethod
    def _from(cls, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Asset:
        config = structure(json.loads(metadata["config"]), FourdConfig)
        width, height = json.loads(metadata["image_size"])
        cameras = Cameras(tensors["viewmats"], tensors["Ks"], width, height)
        gaussians = Gaussians(**part(tensors, "gaussians."))
        state = part(tensors, "network.")
        reads = config.features != "none"
        network = build_deformation(config, state["tssf.reduce.weight"].shape[1] if reads else 0)
        network.load_state_dict(state)
        everywhere = Lookup.of(gaussians, cameras, "none")
        lookup = Lookup(everywhere.grid, tensors["visible"].float())
        return cls(
            gaussians, network, tensors["maps"], lookup, tensors["positions"], cameras, config,
            Similarity.from_json(metadata["scene"]) if "scene" in metadata else None,
        )  # fmt: skip
