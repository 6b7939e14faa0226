"""Strict reading of checkpoints: no code in them is run, every fault is a plain sentence."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .integrity import fault

if TYPE_CHECKING:
    from torch import Tensor, nn

AGAIN = "Delete the file and download it again."
LISTED = 5  # keys of each kind that an error names


def read_state(file: Path) -> dict[str, Tensor]:
    """Content of a checkpoint, on the CPU.

    Args:
        file: .safetensors, or what torch.save wrote (.ckpt, .bin, .pth), of which only tensors
            and plain values are read.

    Returns:
        Tensors by name, or the dictionary that a .ckpt holds around them ({"state_dict": ...}).

    Raises:
        UserError: the file is missing, empty, cut short, damaged, holds code, or is no checkpoint.
    """
    damage = fault(file)
    if damage:
        raise UserError(f"The weights file {file} {damage}.", AGAIN)
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        import torch

        # Tensors of the newer format stay on the disk until they are used.
        mapped = zipfile.is_zipfile(file)
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise _pickle_error(file, error) from error
    except Exception as error:  # each kind of damage raises another one
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"The weights file {file} is damaged ({first}).", AGAIN) from error
    if not isinstance(state, dict):
        raise UserError(f"The weights file {file} holds no tensors by name.", AGAIN)
    return state


def unreadable(file: Path, error: Exception) -> UserError:
    """The error about a file that the library of its format cannot read."""
    first = (str(error) or type(error).__name__).splitlines()[0]
    return UserError(f"The weights {file} cannot be read: {first}", AGAIN)


def _pickle_error(file: Path, error: pickle.UnpicklingError) -> UserError:
    """The error about a pickle that holds more than tensors and plain values."""
    code = re.search(r"GLOBAL (\S+)", str(error))
    if code:
        return UserError(
            f"The weights file {file} holds code beside tensors ({code[1]}); it was not run.",
            "Use the file as it was published.",
        )
    return UserError(
        f"The weights file {file} is damaged, or no checkpoint of tensors; nothing in it was run.",
        AGAIN,
    )


def fill(module: nn.Module, state: dict[str, Tensor], file: Path) -> None:
    """Copy a checkpoint into a module; every key and every shape has to match.

    Args:
        state: tensors by the module's own names.
        file: where they come from, for error messages.

    Raises:
        UserError: names the file and the missing, unexpected and wrongly shaped keys.
    """
    needed = module.state_dict()
    mismatches = {
        "missing keys": [key for key in needed if key not in state],
        "unexpected keys": [key for key in state if key not in needed],
        "wrong shapes": [
            f"{key} (has {list(state[key].shape)}, needs {list(tensor.shape)})"
            for key, tensor in needed.items()
            if key in state and state[key].shape != tensor.shape
        ],
    }
    problems = [f"{title}: {_list_keys(keys)}" for title, keys in mismatches.items() if keys]
    if problems:
        raise UserError(
            f"The weights file {file} does not fit {type(module).__name__}; {'; '.join(problems)}.",
            "It is the file of another model, or of another version of it.",
        )
    module.load_state_dict(state, strict=True)


def _list_keys(keys: list[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(keys[:LISTED]) + more


def read_json(file: Path) -> dict:
    """Settings in a JSON file beside weights.

    Raises:
        UserError: it is missing, damaged, or holds no dictionary.
    """
    try:
        settings = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing.", "Download the weights again.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is damaged: {error}.", AGAIN) from error
    if not isinstance(settings, dict):
        raise UserError(f"{file} holds no settings.", AGAIN)
    return settings
