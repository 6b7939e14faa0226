"""CPU kernels, compiled by numba."""

from numba import njit

from .cache import allow_no_folder, take_turns

__all__ = ["njit"]  # for compiled functions of other packages

allow_no_folder()
take_turns()
