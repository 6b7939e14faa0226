"""Compiled kernels: numba for CPUs, Triton for GPUs, one file per operation in each."""
