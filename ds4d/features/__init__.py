"""Views -> a map of feature vectors per view, by one of several engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError


def choose(name: str = "auto") -> tuple[Callable, str, str]:
    """The engine's `run(images, grid)`, its name, and why it was chosen.

    Raises UserError for a name that no engine has.
    """
    if name not in ("auto", "descriptors"):
        raise UserError(f"There is no feature engine called {name}.", "Use auto or descriptors.")
    from .descriptors import run

    why = "asked for" if name == "descriptors" else "embedded; needs no weights"
    return run, "descriptors", why


def save(path: Path, features: Tensor) -> None:
    """Write features [T, V, h, w, D] in half precision."""
    from safetensors.torch import save_file

    save_file({"features": features.to(torch.float16).contiguous()}, path)


def load(path: Path) -> Tensor:
    """Features [T, V, h, w, D] float32 that `save` wrote."""
    from safetensors.torch import load_file

    return load_file(path)["features"].float()
