"""InstantMesh's large reconstruction model (Xu et al. 2024): a mesh from six generated views."""

from .engine import run

__all__ = ["run"]
