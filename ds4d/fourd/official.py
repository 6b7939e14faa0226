"""Deformation networks of published models, as files deformation.pth, in our own network.

4D-GS (hustvl/4DGaussians) and STAG4D (zeng-yifei/STAG4D) write the same layout. Planes, layers and
heads are those that we train with, so what such a file computes there is what it computes here.
What theirs has and ours has not is beside the network: heads of opacity and colour, quaternions
that are multiplied. Their world is mirrored by the corners of the box (first > last).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..config import FourdConfig
from .deformation import Deformation, head
from .hexplane import HexPlane

NAMES = {  # of the heads, ours and theirs
    "means": "pos_deform",
    "log_scales": "scales_deform",
    "quats": "rotations_deform",
    "logits": "opacity_deform",
    "sh": "shs_deform",
}
SPACE, TIME = (0, 1, 3), (2, 4, 5)  # their planes xy, xz, xt, yz, yt, zt


@dataclass
class Official:
    """A published network: ours, and the heads that ours has not.

    Args:
        used: the heads that the model was trained with; a file has all of them, used or not.
        multiply: whether rotations are quaternion products (apply_rotation), instead of sums.
    """

    network: Deformation
    others: nn.ModuleDict  # logits, sh
    used: tuple[str, ...]
    multiply: bool

    def features(self, means: Tensor, times: Tensor) -> Tensor:
        """HexPlane features [N, F] of Gaussians, each at a time of its own [N], as it is stored."""
        return _own(self.network.planes(means, times))

    def hidden(self, means: Tensor, times: Tensor) -> Tensor:
        """What the heads read, [N, W]."""
        return _own(self.network.hidden(means, times, None, None))

    def heads(self, hidden: Tensor) -> dict[str, Tensor]:
        """What each of the heads in use says, [N, ..]."""
        return {name: module(hidden) for name, module in self._heads().items()}

    def __call__(
        self,
        raw: Mapping[str, Tensor],  # means [N, 3], log_scales, quats, logits [N, 1], sh [N, K, 3]
        times: Tensor,  # [N]
    ) -> dict[str, Tensor]:
        """The raw parameters of each Gaussian at its time."""
        moved = dict(raw)
        for name, offset in self.heads(self.hidden(raw["means"], times)).items():
            if name == "quats" and self.multiply:
                moved[name] = product(raw[name], offset)
            else:
                moved[name] = raw[name] + offset.view_as(raw[name])
        return moved

    def parameters(self) -> dict[str, Tensor]:
        """Every parameter in use under its published name; planes [C, h, w]."""
        return self._named(lambda parameter: parameter.detach())

    def gradients(self) -> dict[str, Tensor]:
        """The gradients that a backward pass left, named as the parameters are."""
        return self._named(lambda parameter: parameter.grad)

    def _named(self, part: Callable[[nn.Parameter], Tensor]) -> dict[str, Tensor]:
        named, network = {}, self.network
        for group, places in ((network.planes.space, SPACE), (network.planes.time, TIME)):
            for level, planes in enumerate(group):
                together = isinstance(planes, Tensor)  # three planes in one tensor
                three = part(planes) if together else [part(plane) for plane in planes]
                for place, plane in zip(places, three, strict=True):
                    named[f"grid.grids.{level}.{place}"] = plane
        layers = {"feature_out.0": network.join_planes}
        for index in range(1, len(network.trunk), 2):
            layers[f"feature_out.{index + 1}"] = network.trunk[index]
        for name, module in self._heads().items():
            layers |= {f"{NAMES[name]}.{index}": module[index] for index in (1, 3)}
        for name, layer in layers.items():
            named |= {f"{name}.weight": part(layer.weight), f"{name}.bias": part(layer.bias)}
        return {f"deformation_net.{name}": tensor for name, tensor in named.items()}

    def _heads(self) -> dict[str, nn.Module]:
        return {n: m for n, m in {**self.network.heads, **self.others}.items() if n in self.used}


def load(
    state: Mapping[str, Tensor],
    used: tuple[str, ...] = ("means", "log_scales", "quats"),
    multiply: bool = False,
) -> Official:
    """The network of a published state dict; sizes, box and layers are read from it."""
    state = {k.removeprefix("deformation_net."): v for k, v in state.items()}
    levels = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("grid.grids."))
    _, width, y, x = state["grid.grids.0.0"].shape
    z, times = state["grid.grids.0.1"].shape[2], state["grid.grids.0.2"].shape[2]
    depth = sum(bool(re.fullmatch(r"feature_out\.\d+\.weight", k)) for k in state)
    hidden = len(state["feature_out.0.bias"])
    config = replace(
        FourdConfig(), features="none", plane_size=1, plane_levels=levels, plane_width=width,
        hidden_width=hidden, hidden_layers=depth, time_map="half",
    )  # fmt: skip
    network = Deformation(config, channels=0)
    network.planes = HexPlane((x, y, z), times, levels, width, state["grid.aabb"], half_time=True)
    others = nn.ModuleDict(
        {
            name: head(hidden, len(state[f"{NAMES[name]}.3.bias"]))
            for name in used
            if name not in network.heads
        }
    )
    official = Official(network, others, used, multiply)
    for name, tensor in official.parameters().items():
        tensor.copy_(state[name.removeprefix("deformation_net.")].view_as(tensor))
    return official


def product(a: Tensor, b: Tensor) -> Tensor:
    """Unit quaternion [N, 4] (w, x, y, z) that turns as b and then as a."""
    w, v = a[:, :1], a[:, 1:]
    u, r = b[:, :1], b[:, 1:]
    real = w * u - (v * r).sum(-1, keepdim=True)
    turned = torch.cat([real, w * r + u * v + torch.cross(v, r, dim=-1)], -1)
    return turned / turned.norm(dim=-1, keepdim=True)


def _own(of_moments: Tensor) -> Tensor:
    """From what N Gaussians are at N moments, [N, N, ..], each at its own: [N, ..]."""
    return of_moments.diagonal().movedim(-1, 0)
