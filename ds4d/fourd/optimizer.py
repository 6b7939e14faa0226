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
        planes = list(model.network.planes.parameters())
        in_planes = {id(parameter) for parameter in planes}
        layers = [p for p in model.network.parameters() if id(p) not in in_planes]
        constant = {
            "log_scales": config.scale_lr,
            "quats": config.rotation_lr,
            "logits": config.opacity_lr,
            "sh0": config.color_lr,
        }
        groups = [
            {"name": name, "params": [tensor], "lr": constant.get(name, 0.0)}
            for name, tensor in model.gaussians.tensors().items()
        ]
        groups += [{"name": "planes", "params": planes, "lr": 0.0}]
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
        loss.backward()
        self.adam.step()

    def state_dict(self) -> dict[str, Tensor]:
        """Adam's state by group, index in the group and name: "means.0.exp_avg"."""
        return {
            f"{group['name']}.{index}.{name}": value
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
                    moments = {n: state[prefix + n] for n in ("exp_avg", "exp_avg_sq")}
                    self.adam.state[parameter] = {
                        "step": state[f"{prefix}step"],
                        # In the parameter's own memory layout, which fused Adam assumes.
                        **{n: torch.empty_like(parameter).copy_(m) for n, m in moments.items()},
                    }
