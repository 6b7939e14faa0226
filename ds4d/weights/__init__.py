"""Pretrained weights: catalogue, search, download, and strict reading of checkpoints.

`fetch` is the one way to files: the user's own folder, then the caches of the hub, rembg and
torch, then a download. `read_state` and `fill` load a checkpoint into a module without running
code from it, and name what is wrong with it in a plain sentence.
"""

from __future__ import annotations

from .catalogue import CATALOGUE, Weights
from .download import fetch, fetching
from .find import Found, find
from .key_mapping import rename_old_keys
from .read import fill, read_json, read_state, unreadable

__all__ = [
    "CATALOGUE", "Found", "Weights", "fetch", "fetching", "fill", "find", "read_json", "read_state",
    "rename_old_keys", "unreadable",
]  # fmt: skip
