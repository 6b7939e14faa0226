"""The optimizer and the learning-rate schedules of everything that is learned."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import FourdConfig
from .gaussians import Gaussians
from .model import Model
from .view_correction import ViewCorrection


class Optimizer:
    """Adam with a named parameter group for each kind of parameter.

    The rates of positions, network and planes fall log-linearly from their first to their last
    value, those of network and planes from the first dynamic step on; the others are constant.
    """

    def __init__(
        self,
        model: Model,
        correction: ViewCorrection | None,
        config: FourdConfig,
        device: torch.device,
    ):
        self.config = config
        self.planes = list(model.network.planes.parameters())  # [3, C, h, w], channels last
        in_planes = {id(parameter) for parameter in self.planes}
        # The same memory in its own order: fused Adam copies what is not contiguous.
        self.contiguous_planes = [_channels_last(plane.detach()) for plane in self.planes]
        layers = [p for p in model.network.parameters() if id(p) not in in_planes]
        constant = {
            "log_scales": config.scale_lr,
            "quats": config.rotation_lr,
            "logits": config.opacity_lr,
            "sh0": config.color_lr,
            "sh0_knots": config.color_lr,
        }
        groups = [
            {"name": name, "params": [tensor], "lr": constant.get(name, 0.0)}
            for name, tensor in model.gaussians.tensors().items()
        ]
        groups += [{"name": "planes", "params": self.contiguous_planes, "lr": 0.0}]
        groups += [{"name": "network", "params": layers, "lr": 0.0}]
        if correction is not None:
            groups += [{"name": "view_warp", "params": [correction.warp], "lr": config.warp_lr}]
            groups += [{"name": "view_color", "params": [correction.color], "lr": config.tint_lr}]
        on_gpu = device.type == "cuda"
        if on_gpu:  # where a captured CUDA graph reads them
            for group in groups:
                group["lr"] = torch.tensor(group["lr"], device=device)
        self.adam = torch.optim.Adam(
            groups, betas=(0.9, config.square_decay), eps=1e-15, fused=True, capturable=on_gpu
        )

    def set_rates(self, step: int) -> None:
        """Set the learning rates of a step."""
        config = self.config
        progress = step / (config.static_iterations + config.dynamic_iterations)
        dynamic = max(step - config.static_iterations, 0) / max(config.dynamic_iterations, 1)
        falling = {
            "means": (config.means_lr, progress),
            "network": (config.network_lr, dynamic),
            "planes": (config.plane_lr, dynamic),
        }
        for group in self.adam.param_groups:
            if group["name"] in falling:
                (first, last), share = falling[group["name"]]
                rate = first * (last / first) ** share
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate

    def minimize(self, loss: Tensor) -> None:
        """Compute gradients of a loss and update the parameters."""
        self.adam.zero_grad(set_to_none=True)
        for plane in self.planes:
            plane.grad = None
        loss.backward()
        for plane, contiguous in zip(self.planes, self.contiguous_planes, strict=True):
            contiguous.grad = None if plane.grad is None else _channels_last(plane.grad)
        self.adam.step()

    def state_dict(self) -> dict[str, Tensor]:
        """Adam's state by group, index in the group and name: "means.0.exp_avg"; that of the planes
        has their shape [3, C, h, w]."""
        return {
            f"{group['name']}.{index}.{name}": _channels_first(value) if value.ndim == 4 else value
            for group in self.adam.param_groups
            for index, parameter in enumerate(group["params"])
            for name, value in self.adam.state.get(parameter, {}).items()
        }

    def load_state_dict(self, state: dict[str, Tensor], gaussians: Gaussians) -> None:
        """Restore `state_dict`, for the restored Gaussians.

        Raises:
            KeyError: the state is of another set of parameters.
        """
        tensors = gaussians.tensors()
        self.adam.state.clear()
        for group in self.adam.param_groups:
            if group["name"] in tensors:
                group["params"] = [tensors[group["name"]]]
            for index, parameter in enumerate(group["params"]):
                prefix = f"{group['name']}.{index}."
                if f"{prefix}step" in state:
                    self.adam.state[parameter] = {
                        "step": state[f"{prefix}step"],
                        "exp_avg": _contiguous(state[f"{prefix}exp_avg"]),
                        "exp_avg_sq": _contiguous(state[f"{prefix}exp_avg_sq"]),
                    }


def _channels_last(planes: Tensor) -> Tensor:
    """View planes [3, C, h, w] as [3, h, w, C]."""
    return planes.permute(0, 2, 3, 1)


def _channels_first(planes: Tensor) -> Tensor:
    """View planes [3, h, w, C] as [3, C, h, w]."""
    return planes.permute(0, 3, 1, 2)


def _contiguous(moment: Tensor) -> Tensor:
    """A saved moment as Adam keeps it."""
    return (_channels_last(moment) if moment.ndim == 4 else moment).contiguous()
