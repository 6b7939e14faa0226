"""Locating weights: in the user's folder, in the caches of this machine, or on the hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UserError
from ..format import file_size
from . import reachability
from .catalogue import CATALOGUE, Weights
from .integrity import MISSING, fault


@dataclass(frozen=True)
class Found:
    """Location of weights, or the reason why they are nowhere."""

    path: Path | None  # a folder with the hub's files in their layout, or a file that has a url
    where: Literal["folder", "cache", "hub", "missing"]  # hub: not on disk, but can be downloaded
    message: str  # a phrase for a person: the folder, or the reason


def find(name: str, folder: str = "") -> Found:
    """Locate weights of the catalogue, quickly and without downloading anything.

    Args:
        name: in the catalogue.
        folder: the user's own folder of weights (FOLDER/OWNER/REPO/files), or "".

    Returns:
        The first of folder, caches and hub that has every file. A file that is there but broken
        ends the search, so that nothing else takes its place unnoticed.

    Raises:
        UserError: the catalogue has no such name.
    """
    weights = entry(name)
    absent = ""
    for place, where in _candidates(weights, folder):
        faults = {file: fault(place / file) for file in weights.files}
        missing = [file for file, phrase in faults.items() if phrase == MISSING]
        for file, phrase in faults.items():
            if phrase and file not in missing:
                return Found(None, "missing", f"{place / file} {phrase}; delete or replace it")
        if not missing:
            return Found(place / weights.files[0] if weights.url else place, where, f"in {place}")
        if where == "folder" or len(missing) < len(faults):
            absent = absent or _missing_files(missing, place)
    absent = absent or "not on this machine"
    obstacle = reachability.obstacle(download_url(weights))
    if obstacle:
        return Found(None, "missing", f"{absent}, and {obstacle}")
    return Found(None, "hub", f"{absent}, but can be downloaded ({file_size(weights.bytes)})")


def entry(name: str) -> Weights:
    """The catalogue's entry; UserError for a name that it does not have."""
    if name not in CATALOGUE:
        raise UserError(f"There are no weights called {name}.", f"Known: {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]


def _candidates(weights: Weights, folder: str) -> list[tuple[Path, str]]:
    """Folders that can hold the weights, in the order of the search, each with its kind."""
    caches = [(place, "cache") for place in cache_folders(weights)]
    if not folder:
        return caches
    return [(Path(folder).expanduser() / weights.repo, "folder"), *caches]


def cache_folders(weights: Weights) -> list[Path]:
    """Folders outside the user's own one that can hold the weights; the first is downloaded to."""
    if weights.repo == "rembg":
        return _rembg_folders(weights.files[0])
    if weights.url:
        import torch

        return [Path(torch.hub.get_dir()) / "checkpoints"]
    return _hub_folders(weights)


def _hub_folders(weights: Weights) -> list[Path]:
    """The pinned revision's snapshot in the hub's caches.

    Files that a Space preloads at its build lie in the cache's default folder, whatever HF_HOME is.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    repo = repo_folder_name(repo_id=weights.repo, repo_type="model")
    caches = [Path(constants.HF_HUB_CACHE), Path("~/.cache/huggingface/hub").expanduser()]
    return [cache / repo / "snapshots" / weights.revision for cache in dict.fromkeys(caches)]


def _rembg_folders(file: str) -> list[Path]:
    """The folders of rembg's sessions: one for each model, then the flat one of earlier versions.

    Not by rembg's own methods: importing them takes seconds.
    """
    data = os.environ.get("XDG_DATA_HOME")
    old = os.environ.get("U2NET_HOME", os.path.join(data or "~", ".u2net"))
    new = os.environ.get("REMBG_HOME", os.path.join(data, "rembg") if data else "~/.rembg")
    home = old if os.environ.get("U2NET_HOME") else new
    return [
        Path(home).expanduser() / "models" / file.removesuffix(".onnx"),
        Path(old).expanduser(),
    ]


def download_url(weights: Weights) -> str:
    """A URL that answers when the weights can be downloaded."""
    from huggingface_hub import constants

    if weights.url:
        return weights.url
    return f"{constants.ENDPOINT}/api/models/{weights.repo}/revision/{weights.revision}"


def _missing_files(missing: list[str], place: Path) -> str:
    """Names of missing files as a phrase."""
    if not place.is_dir():
        return f"there is no folder {place}"
    if len(missing) == 1:
        return f"{missing[0]} is missing in {place}"
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return f"{', '.join(missing[:3])}{more} are missing in {place}"
