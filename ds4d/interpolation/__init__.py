"""Frames between the cut-out frames of a clip, made before the views are."""

from .flow import between, positions, run

__all__ = ["between", "positions", "run"]
