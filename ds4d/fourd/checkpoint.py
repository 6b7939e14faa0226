"""The state of an optimization on the disk, so that a killed run goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .asset import part
from .densify import Statistics
from .gaussians import Gaussians
from .tssf import Lookup

if TYPE_CHECKING:
    from .trainer import Training


def save(path: Path, training: Training, key: str) -> None:
    """Write everything that the next step depends on."""
    tensors: dict[str, Tensor] = {
        "generator": training.generator.get_state(),
        "statistics.gradients": training.statistics.gradients,
        "statistics.count": training.statistics.count,
    }
    tensors |= {f"gaussians.{k}": v for k, v in training.gaussians.tensors().items()}
    tensors |= {f"network.{k}": v for k, v in training.network.state_dict().items()}
    if training.warps is not None:
        tensors |= {f"warps.{k}": v for k, v in training.warps.state_dict().items()}
    if training.averages is not None:
        tensors |= {f"averages.{i}": mean for i, mean in enumerate(training.averages.means)}
    if training.lookup is not None:
        tensors |= {"lookup.grid": training.lookup.grid, "lookup.visible": training.lookup.visible}
    for group in training.optimizer.param_groups:
        for index, parameter in enumerate(group["params"]):
            for name, value in training.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{group['name']}.{index}.{name}"] = value
    metadata = {"key": key, "step": str(training.step)}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path, metadata)


def load(path: Path, training: Training, key: str) -> int:
    """Put a saved state into a fresh training. Returns its step, 0 where there is none to resume.

    A state that was made from something else, or cannot be read, is not resumed.
    """
    if not path.exists():
        return 0
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError:
        return 0
    if metadata.get("key") != key:
        return 0
    generator = tensors.pop("generator")  # stays on the CPU
    training.generator.set_state(generator)
    _restore(training, {name: tensor.to(training.device) for name, tensor in tensors.items()})
    training.step = int(metadata["step"])
    training.started = (training.started[0], training.step)
    return training.step


def _restore(training: Training, tensors: dict[str, Tensor]) -> None:
    training.network.load_state_dict(part(tensors, "network."))
    names = training.gaussians.tensors()
    training.gaussians = Gaussians(
        **{name: tensors[f"gaussians.{name}"].requires_grad_() for name in names}
    )
    training.statistics = Statistics(tensors["statistics.gradients"], tensors["statistics.count"])
    if training.warps is not None:
        training.warps.load_state_dict(part(tensors, "warps."))
    if "lookup.grid" in tensors:
        training.lookup = Lookup(tensors["lookup.grid"], tensors["lookup.visible"])
    if "averages.0" in tensors:
        training.averages = training.fresh_averages()
        for index, mean in enumerate(training.averages.means):
            mean.copy_(tensors[f"averages.{index}"])
    for group in training.optimizer.param_groups:
        if group["name"] in names:
            group["params"] = [training.gaussians.tensors()[group["name"]]]
        for index, parameter in enumerate(group["params"]):
            if state := part(tensors, f"optimizer.{group['name']}.{index}."):
                training.optimizer.state[parameter] = {
                    name: _laid_out(value, parameter) for name, value in state.items()
                }


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """In the order in memory of the parameter, as optimizers that go through memory need it."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
