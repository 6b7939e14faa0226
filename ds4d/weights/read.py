"""Reading checkpoints: no code in them is run, and what is wrong with them is said in words."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import UserError
from .whole import fault

HINT = "Delete the file and download it again."
LISTED = 5  # keys of each kind that an error names


def read_state(file: Path) -> dict[str, Tensor]:
    """A checkpoint's content, on the CPU.

    Args:
        file: .safetensors, or .ckpt, .bin, .pth, which are read without running code in them.

    Returns:
        Tensors by name; or whatever dictionary a .ckpt holds around them ("state_dict": ...).

    Raises:
        UserError: the file is missing, empty, cut short, damaged, holds code, or is no checkpoint.
    """
    file = Path(file)
    wrong = fault(file)
    if wrong:
        raise UserError(f"The weights {file} cannot be read: the file {wrong}.", HINT)
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error).lower():
            raise _damaged(file, error) from error
        raise UserError(
            f"The weights {file} hold code beside tensors; it was not run.",
            "Use the published file.",
        ) from error
    except Exception as error:  # each damage raises something else
        raise _damaged(file, error) from error
    if not isinstance(state, dict):
        raise UserError(f"The weights {file} hold no tensors by name.", HINT)
    return state


def _damaged(file: Path, error: Exception) -> UserError:
    first = (str(error) or type(error).__name__).splitlines()[0]
    return UserError(f"The weights {file} cannot be read, the file is damaged: {first}", HINT)


def fill(module: nn.Module, state: dict[str, Tensor], file: Path) -> None:
    """Load a checkpoint into a module; every key and every shape has to match.

    Raises:
        UserError: names the file and the missing, unexpected and wrongly shaped keys.
    """
    needed = module.state_dict()
    missing = [key for key in needed if key not in state]
    unexpected = [key for key in state if key not in needed]
    shapes = [
        f"{key} (has {list(state[key].shape)}, needs {list(needed[key].shape)})"
        for key in needed
        if key in state and state[key].shape != needed[key].shape
    ]
    problems = [
        f"{title}: {', '.join(keys[:LISTED])}{_more(keys)}"
        for title, keys in (
            ("missing keys", missing), ("unexpected keys", unexpected), ("wrong shapes", shapes),
        )
        if keys
    ]  # fmt: skip
    if problems:
        raise UserError(
            f"The weights {file} do not fit {type(module).__name__}; {'; '.join(problems)}.",
            "It is another model's checkpoint, or another version of it.",
        )
    module.load_state_dict(state, strict=True)


def _more(keys: list[str]) -> str:
    return f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
