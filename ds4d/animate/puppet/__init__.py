"""Puppet engine: a cut-out moved by as-rigid-as-possible warps; it knows no anatomy."""

from .engine import run

__all__ = ["run"]
