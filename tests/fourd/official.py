"""Deformation networks of published models (files deformation.pth), built from our own pieces.

4D-GS (hustvl/4DGaussians) and STAG4D (zeng-yifei/STAG4D) write the same layout. Sampling of planes,
layers, heads and regularizers are those that we train with, so parity with such a file is parity of
our network. Only this file has what theirs have and ours has not: planes of unequal sizes in a box,
heads of opacity and colour, quaternions that are multiplied. Their world is mirrored by the corners
of the box (first > last).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ds4d.fourd.deformation import Deformation, head
from ds4d.fourd.hexplane import SPACE_PAIRS, HexPlane

NAMES = {  # of the heads, ours and theirs
    "means": "pos_deform",
    "log_scales": "scales_deform",
    "quats": "rotations_deform",
    "logits": "opacity_deform",
    "sh": "shs_deform",
}
SPACE, TIME = (0, 1, 3), (2, 4, 5)  # their planes xy, xz, xt, yz, yt, zt


class BoxPlanes(HexPlane):
    """A HexPlane with a number of cells of its own along each axis, in a box.

    Args:
        cells: along x, y and z, at the coarsest level.
        box: corners [2, 3], where the first and the last cells are; world units.
    """

    def __init__(
        self, cells: tuple[int, int, int], times: int, levels: int, width: int, box: Tensor
    ):
        super().__init__(2, times, 0, width, 1.0, half_time=True)  # without a level of its own
        first, last = box
        self.register_buffer("centre", (first + last) / 2)
        self.register_buffer("reach", (last - first) / 2)
        for level in range(levels):
            x_y_z = [axis * 2**level for axis in cells]
            self.space.append(_planes(width, [(x_y_z[b], x_y_z[a]) for a, b in SPACE_PAIRS]))
            self.time.append(_planes(width, [(times, axis) for axis in x_y_z]))

    def inside(self, means: Tensor) -> Tensor:
        return (means - self.centre) / self.reach


def _planes(width: int, sizes: list[tuple[int, int]]) -> nn.ParameterList:
    return nn.ParameterList([torch.ones(width, *size) for size in sizes])


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
        """The input of the heads, [N, W]."""
        return _own(self.network.hidden(means, times, None, None))

    def heads(self, hidden: Tensor) -> dict[str, Tensor]:
        """The output of each head in use, [N, ..]."""
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
                for place, plane in zip(places, planes, strict=True):
                    named[f"grid.grids.{level}.{place}"] = part(plane)
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
    planes = BoxPlanes((x, y, z), times, levels, width, state["grid.aabb"])
    network = Deformation(planes, None, hidden, depth)
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
    """N Gaussians at N moments, [N, N, ..], each at its own moment: [N, ..]."""
    return of_moments.diagonal().movedim(-1, 0)
