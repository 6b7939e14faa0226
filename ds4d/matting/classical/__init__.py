"""Classical matting without a network: a clean plate, a graph cut, closed-form soft edges."""

from .engine import run

__all__ = ["run"]
