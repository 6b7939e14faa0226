"""Frames in between by RIFE: one network finds the motion from the moment in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import MachineConfig
from ..errors import UserError
from ..run.device import pick, release
from ..run.events import Stage
from ..weights import fetch, fill, read_state
from .frames import backdrop, filled_in, premultiplied, straight
from .ifnet import MULTIPLE, IFNet, warped

WRAPPED = "module."  # that training on several GPUs has put before the names


def run(frames: np.ndarray, factor: int, machine: MachineConfig) -> Stage[np.ndarray]:
    """Make factor - 1 frames between each two of [T, S, S, 4] uint8, as `flow.run` does.

    Raises:
        UserError: the weights are missing or do not fit.
    """
    device = pick(machine.device)
    network = load(Path(fetch("rife-4.6", machine.weights)), device)

    def between(first: np.ndarray, second: np.ndarray, shares: list[float]) -> list[np.ndarray]:
        return _between(network, first, second, shares, device)

    result = yield from filled_in(frames, factor, between)
    network.cpu()
    release()
    return result


def load(file: Path, device: torch.device) -> IFNet:
    """The network from its checkpoint; every key of its blocks has to fit."""
    state = {name.removeprefix(WRAPPED): value for name, value in read_state(file).items()}
    network = IFNet()
    blocks = tuple(f"{name}." for name, _ in network.named_children())
    kept = {name: value for name, value in state.items() if name.startswith(blocks)}
    if not kept:
        raise UserError(f"The weights file {file} is not of IFNet.", "Use flownet_v4.6.pkl.")
    fill(network, kept, file)  # what else it holds belongs to the training
    return network.float().eval().requires_grad_(False).to(device)


def _between(
    network: IFNet, first: np.ndarray, second: np.ndarray, shares: list[float], device: torch.device
) -> list[np.ndarray]:
    """Frames [S, S, 4] uint8 at shares of the time between two others.

    The network sees the object over a plain background; matte and premultiplied colours follow the
    motion that it finds.
    """
    ends = premultiplied(first), premultiplied(second)
    behind = backdrop(ends[0])
    layers = [_padded(torch.from_numpy(end).permute(2, 0, 1)[None].to(device)) for end in ends]
    seen = [layer[:, :3] + (1 - layer[:, 3:]) * behind for layer in layers]
    size, made = len(first), []
    with torch.inference_mode():
        for share in shares:
            to_first, to_second, weight = network(*seen, share)
            blend = weight * warped(layers[0], to_first)
            blend += (1 - weight) * warped(layers[1], to_second)
            made.append(straight(blend[0, :, :size, :size].permute(1, 2, 0).cpu().numpy()))
    return made


def _padded(image: Tensor) -> Tensor:
    """The image [1, C, S, S] with clear pixels at its right and bottom, up to a size it takes."""
    more = -image.shape[-1] % MULTIPLE
    return F.pad(image, (0, more, 0, more))
