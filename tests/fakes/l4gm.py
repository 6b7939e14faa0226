"""L4GM's published files with random weights, with fewer channels than the real ones.

The weights are not all noise: what they reconstruct is a small opaque ball of many colours, so that
every later step has something to do.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ds4d.multiview.l4gm.network import L4GM, Sizes

TINY = Sizes(  # attention where pictures are smallest: a CPU takes minutes for it elsewhere
    down=(32,) * 6, down_attention=(False,) * 5 + (True,),
    up=(32,) * 5, up_attention=(True,) + (False,) * 4,
)  # fmt: skip
SPREAD = 0.1  # deviation of the raw positions, which reach from -1 to 1
OPACITY, SCALE = 3.0, -2.5  # before their activations: 0.95, and 0.008 world units


def make(folder: Path) -> None:
    """Write both files into a local folder of weights."""
    repo = Path(folder) / "jiawei011" / "L4GM"
    repo.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("recon", "interp")):
        save_file(weights(TINY, seed), repo / f"{name}.safetensors")


def weights(sizes: Sizes, seed: int = 0) -> dict[str, Tensor]:
    """Random weights by the published keys."""
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in L4GM(sizes).state_dict().items()}
    generator, state = torch.Generator().manual_seed(seed), {}
    for key, shape in shapes.items():
        if "norm" in key:
            state[key] = torch.ones(shape) if key.endswith("weight") else torch.zeros(shape)
            continue
        fan = max(shape[1:].numel(), 1)
        noise = torch.randn(shape, generator=generator)
        state[key] = noise * (fan**-0.5 if key.endswith("weight") else 0.02)
    state["conv.weight"][:3] *= SPREAD / state["conv.weight"][:3].norm(dim=1, keepdim=True)
    state["conv.weight"][3:7] *= 0.1
    state["conv.bias"][:7] = torch.tensor([0, 0, 0, OPACITY, SCALE, SCALE, SCALE])
    return state
