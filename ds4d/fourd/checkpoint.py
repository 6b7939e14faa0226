"""Checkpoints: the state of an optimization on the disk, so that a killed run resumes."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def save(path: Path, state: dict[str, Tensor], step: int, key: str) -> None:
    """Write a state with its step and the key of what it was made from."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    save_file(tensors, path, {"key": key, "step": str(step)})


def load(path: Path, key: str) -> tuple[dict[str, Tensor], int] | None:
    """Read a state and its step; None where there is none of this key that can be read."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}, int(metadata["step"])
    except SafetensorError:
        return None


def flatten(parts: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join the states of several parts: {"part": {"name": x}} -> {"part.name": x}."""
    return {f"{part}.{name}": x for part, state in parts.items() for name, x in state.items()}


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
