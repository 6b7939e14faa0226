"""Evaluation of an asset: metrics, the held-out protocol, and comparison with the input."""

from .protocol import evaluate, score

__all__ = ["evaluate", "score"]
