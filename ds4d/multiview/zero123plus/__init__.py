"""Zero123++ (Shi et al. 2023, arXiv 2310.15110): six views of each frame by published weights."""

from .engine import run

__all__ = ["run"]
