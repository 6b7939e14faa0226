"""Pretrained weights: what there is, where it lies, how it arrives and how it is read.

`fetch` is the one way to files: the user's own folder, then the caches of the hub, rembg and
torch, then a download. `read_state` and `fill` bring a checkpoint into a module without running
code from it, and say in plain words what is wrong with it.
"""

from __future__ import annotations

from .catalogue import CATALOGUE, Weights, size
from .download import fetch, fetching
from .find import Found, find
from .key_mapping import modern
from .read import fill, read_json, read_state

__all__ = [
    "CATALOGUE", "Found", "Weights", "fetch", "fetching", "fill", "find", "modern", "read_json",
    "read_state", "size",
]  # fmt: skip
