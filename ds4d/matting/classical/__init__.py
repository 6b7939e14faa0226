"""Classical matting without a network: a clean plate, a graph cut, soft edges by colour."""

from .engine import run

__all__ = ["run"]
