"""How good an asset is, where the truth is known: metrics and the protocol that uses them."""

from .protocol import evaluate, score

__all__ = ["evaluate", "score"]
