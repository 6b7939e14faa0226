"""The trained model: canonical Gaussians and the network that deforms them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .deformation import Deformation
from .gaussians import Gaussians, Offsets
from .tssf import Lookup


@dataclass
class Model:
    """Canonical Gaussians and their deformation network."""

    gaussians: Gaussians
    network: Deformation

    def offsets(
        self,
        positions: Tensor,  # [K] places in the clip, [0, 1]
        features: Tensor,  # [K, V, h, w, D] view features of these moments
        lookup: Lookup | None,  # None: the static stage, in which nothing moves
    ) -> Offsets:
        """Offsets of the Gaussians at K moments."""
        if lookup is None:
            zero = torch.zeros(len(positions), 1, 1, device=positions.device)
            return Offsets(zero, zero, zero)
        reduced = self.network.reduced(features)
        offsets = self.network.at(self.gaussians.means, positions, reduced, lookup)
        offsets.sh0 = self.gaussians.sh0_offsets(positions)
        return offsets
