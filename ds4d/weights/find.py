"""Where weights lie: the user's folder, the caches of this machine, or the hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UserError
from . import network
from .catalogue import CATALOGUE, Weights
from .whole import fault


@dataclass(frozen=True)
class Found:
    """Where weights are, or the exact reason why they are nowhere."""

    path: Path | None  # a folder with the hub's files in their layout, or a file that has a url
    where: Literal["folder", "cache", "hub", "missing"]  # hub: not on disk, but can be downloaded
    words: str


def find(name: str, folder: str = "") -> Found:
    """Look for weights of the catalogue, quickly and without downloading anything.

    Args:
        folder: the user's own folder of weights (FOLDER/OWNER/REPO/files), or "".

    Returns:
        The first place of folder, caches, hub that has every file. A file that is there but
        broken ends the search, so that nothing else is used in its place unnoticed.
    """
    weights = look_up(name)
    places = [(place, "cache") for place in cache_places(weights)]
    if folder:
        places.insert(0, (Path(folder).expanduser() / weights.repo, "folder"))
    absent = ""
    for place, where in places:
        faults = {file: fault(place / file) for file in weights.files}
        missing = [file for file, words in faults.items() if words == "is missing"]
        broken = [f"{place / file} {words}" for file, words in faults.items()
                  if words not in ("", "is missing")]  # fmt: skip
        if broken:
            return Found(None, "missing", broken[0])
        if not missing:
            path = place / weights.files[0] if weights.url else place
            return Found(path, where, f"in {place}")
        if where == "folder" or len(missing) < len(weights.files):
            absent = absent or f"{_listed(missing)} missing in {place}"
    here = absent or "not on this machine"
    reason = network.obstacle(address(weights))
    if reason:
        return Found(None, "missing", f"{here}, and {reason}")
    return Found(None, "hub", f"{here}, but can be downloaded ({weights.bytes / 1e9:.2f} GB)")


def look_up(name: str) -> Weights:
    if name not in CATALOGUE:
        raise UserError(f"There are no weights called {name}.", f"Known: {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]


def cache_places(weights: Weights) -> list[Path]:
    """Folders outside the user's own one that can hold the weights; the first is downloaded to."""
    if weights.repo == "rembg":
        return _rembg_places(weights.files[0])
    if weights.repo == "torchvision":
        import torch

        return [Path(torch.hub.get_dir()) / "checkpoints"]
    return _hub_places(weights)


def _hub_places(weights: Weights) -> list[Path]:
    """Snapshots in the hub's cache: the pinned revision; a `main` that is there will do as well."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    repo = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=weights.repo, repo_type="model")
    revisions = [weights.revision]
    reference = repo / "refs" / "main"
    if reference.is_file():
        revisions.append(reference.read_text().strip())
    return [repo / "snapshots" / revision for revision in dict.fromkeys(revisions)]


def _rembg_places(file: str) -> list[Path]:
    """As rembg's sessions look: a folder for each model, then the flat one of earlier versions."""
    data = os.environ.get("XDG_DATA_HOME")
    old = os.environ.get("U2NET_HOME", os.path.join(data or "~", ".u2net"))
    new = os.environ.get("REMBG_HOME", os.path.join(data, "rembg") if data else "~/.rembg")
    home = old if os.environ.get("U2NET_HOME") else new
    return [
        Path(home).expanduser() / "models" / file.removesuffix(".onnx"),
        Path(old).expanduser(),
    ]


def address(weights: Weights) -> str:
    """What answers when the weights can be downloaded."""
    from huggingface_hub import constants

    if weights.url:
        return weights.url
    return f"{constants.ENDPOINT}/api/models/{weights.repo}/revision/{weights.revision}"


def _listed(files: list[str]) -> str:
    more = f" and {len(files) - 3} more are" if len(files) > 3 else ""
    verb = "" if more else " is" if len(files) == 1 else " are"
    return ", ".join(files[:3]) + more + verb
