"""InstantMesh's published checkpoints with random weights, small or as large as the real ones.

The weights are not all noise: the planes hold a ball, so that a surface comes out and every later
step has something to do.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ds4d.mesh.instantmesh.extract import LEVEL
from ds4d.mesh.instantmesh.model import LRM, PREFIX, Sizes

# Heads have 64 channels, as in the published models; the two widths have to differ.
LARGE = Sizes(
    layers=2, plane_dim=6, dim=128, heads=2, plane_grid=16, decoder_dim=16, encoder_layers=2,
    encoder_dim=64, encoder_heads=1, encoder_hidden=128, patch=32, patch_grid=7,
)  # fmt: skip
BASE = Sizes(
    layers=1, plane_dim=4, dim=128, heads=2, plane_grid=16, decoder_dim=16, encoder_layers=1,
    encoder_dim=64, encoder_heads=1, encoder_hidden=128, patch=32, patch_grid=7,
)  # fmt: skip
STEEPNESS = 60.0  # of the density at the ball's surface
RADIUS = 0.6  # of the ball, where the models' block reaches from -1 to 1


def make(folder: Path) -> None:
    """Write both tiny checkpoints into a local folder of weights."""
    repo = Path(folder) / "TencentARC" / "InstantMesh"
    write(repo / "instant_nerf_large.ckpt", LARGE)
    write(repo / "instant_nerf_base.ckpt", BASE)


def write(file: Path, sizes: Sizes, seed: int = 0) -> None:
    """Write a checkpoint of these sizes in the published layout."""
    state = {PREFIX + key: value for key, value in weights(sizes, seed).items()}
    # A training checkpoint also holds its loss's network.
    state["lpips.net.scaling_layer.shift"] = torch.zeros(1, 3, 1, 1)
    state["lpips.net.lin0.model.1.weight"] = torch.zeros(1, 64, 1, 1)
    file.parent.mkdir(parents=True, exist_ok=True)
    facts = {"epoch": 0, "global_step": 0, "pytorch-lightning_version": "2.1.2"}
    torch.save(facts | {"state_dict": state}, file)


def weights(sizes: Sizes, seed: int = 0) -> dict[str, Tensor]:
    """Random weights by the published keys, without the prefix."""
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in LRM(sizes).state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in shapes.items():
        if "norm" in key:
            state[key] = torch.ones(shape) if key.endswith("weight") else torch.zeros(shape)
            continue
        # Layers add little to what comes in, however many there are.
        gain = 2.0 if key.startswith("synthesizer") else 0.2
        spread = gain * shape[1:].numel() ** -0.5 if key.endswith("weight") else 0.02
        state[key] = spread * torch.randn(shape, generator=generator)
    _hold_a_ball(state, sizes)
    return state


def _hold_a_ball(state: dict[str, Tensor], sizes: Sizes) -> None:
    """The planes' first channel is high in the middle and low at the rim; so is the density."""
    axis = (torch.arange(sizes.plane_grid) + 0.5) * 2 / sizes.plane_grid - 1
    height = (1 - 2 * (axis[:, None] ** 2 + axis**2)).flatten().repeat(3)  # [3 * grid^2]
    mark, rest = torch.zeros(2, sizes.dim)
    mark[0::4], mark[1::4], rest[2::4], rest[3::4] = 1, -1, 1, -1
    state["transformer.pos_embed"] += height[:, None] * mark + rest
    state["transformer.deconv.weight"][:, 0] = 2 / sizes.dim * mark[:, None, None]
    state["transformer.deconv.bias"][0] = 0

    def channel(height: float) -> float:
        """Height of a token after the last norm."""
        return height * (2 / (height**2 + 1)) ** 0.5

    rim = 2 * channel(1 - 2 * RADIUS**2) + channel(1)  # sum over the planes where an axis ends
    net = "synthesizer.decoder.net."
    for layer, width in ((0, 3 * sizes.plane_dim), (2, sizes.decoder_dim), (4, sizes.decoder_dim)):
        state[f"{net}{layer}.weight"][0] = 0
        state[f"{net}{layer}.bias"][0] = 0
        taken = slice(0, width, sizes.plane_dim) if layer == 0 else 0
        state[f"{net}{layer}.weight"][0, taken] = 1
    state[f"{net}6.weight"][0] = 0
    state[f"{net}6.weight"][0, 0] = STEEPNESS
    state[f"{net}6.bias"][0] = LEVEL + 1 - STEEPNESS * rim
