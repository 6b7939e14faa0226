"""Pretrained weights: what there is, where it lies, and how it is read."""

from __future__ import annotations

from .catalogue import CATALOGUE, Weights
from .find import Found, fetch, find
from .read import fill, read_state

__all__ = ["CATALOGUE", "Found", "Weights", "fetch", "fill", "find", "read_state"]
