"""The optimizer of everything that is learned, and how fast each part of it may change."""

from __future__ import annotations

import torch

from ..config import FourdConfig
from ..kernels.numba.adam import Adam
from .deformation import Deformation
from .gaussians import Gaussians
from .view_correction import Warps


def optimizer_of(
    gaussians: Gaussians,
    network: Deformation,
    warps: Warps | None,
    config: FourdConfig,
    device: torch.device,
) -> torch.optim.Adam:
    """Adam with a named group for each kind of parameter; looks, bends and tints keep the rates
    that they get here.

    The rates of the others are 0 until `set_rates` is called.
    """
    planes = list(network.planes.parameters())
    in_planes = {id(parameter) for parameter in planes}
    constant = {
        "log_scales": config.scale_lr,
        "quats": config.rotation_lr,
        "logits": config.opacity_lr,
        "sh0": config.color_lr,
    }
    groups = [
        {"name": name, "params": [tensor], "lr": constant.get(name, 0.0)}
        for name, tensor in gaussians.tensors().items()
    ]
    others = [p for p in network.parameters() if id(p) not in in_planes]
    groups += [{"name": "planes", "params": planes, "lr": 0.0}]
    groups += [{"name": "network", "params": others, "lr": 0.0}]
    if warps is not None:
        groups += [{"name": "bends", "params": [warps.grids], "lr": config.warp_lr}]
        groups += [{"name": "tints", "params": [warps.tints], "lr": config.tint_lr}]
    settings = {"betas": (0.9, config.square_decay), "eps": 1e-15}
    if device.type == "cpu":
        return Adam(groups, **settings)
    for group in groups:  # where a captured step finds them
        group["lr"] = torch.tensor(group["lr"], device=device)
    return torch.optim.Adam(groups, **settings, fused=True, capturable=True)


def set_rates(optimizer: torch.optim.Adam, step: int, config: FourdConfig) -> None:
    """Log-linear from first to last value; what deforms starts its clock with the motion."""
    share = step / (config.static_iterations + config.dynamic_iterations)
    moved = max(step - config.static_iterations, 0) / max(config.dynamic_iterations, 1)
    falling = {
        "means": (config.means_lr, share),
        "network": (config.network_lr, moved),
        "planes": (config.plane_lr, moved),
    }
    for group in optimizer.param_groups:
        if group["name"] in falling:
            (first, last), done = falling[group["name"]]
            rate = first * (last / first) ** done
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
