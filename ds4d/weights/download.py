"""Bringing weights to this machine."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from .catalogue import Weights
from .find import find, look_up

HINT = (
    "python -m ds4d doctor says what is there and what is missing; --weights FOLDER names a folder "
    "that holds the weights as OWNER/REPO/files."
)


def fetch(name: str, folder: str = "") -> Path:
    """The place of weights on disk; downloads them when they are nowhere on this machine.

    Args:
        folder: the user's own folder of weights, or "".

    Returns:
        For weights on the hub the folder that holds their files in the repository's layout; for
        one with an address of its own (rembg's, LPIPS's) the file.

    Raises:
        UserError: with the exact reason why they are not to be had.
    """
    weights = look_up(name)
    found = find(name, folder)
    if found.path is not None:
        return found.path
    if found.where == "missing":
        raise UserError(f"The weights {name} are not to be had: {found.words}.", HINT)
    _download(weights)
    found = find(name, folder)
    if found.path is None:
        raise UserError(f"The weights {name} did not arrive: {found.words}.", HINT)
    return found.path


def _download(weights: Weights) -> None:
    if weights.url:
        raise UserError("Downloading single files comes next.")
    from huggingface_hub import snapshot_download

    snapshot_download(
        weights.repo, revision=weights.revision, allow_patterns=list(weights.files)
    )
