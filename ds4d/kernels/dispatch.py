"""What a step of the optimization costs most, as numba kernels for CPUs.

They compute what the torch modules beside them say, which stay the reference, and which float64
is computed with. Results do not depend on the number of threads: work is cut into a fixed number
of parts. The kernels for GPUs are beside this folder, in triton_*.py.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fit(tensor: Tensor) -> bool:
    """Whether the kernels can compute with such a tensor."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


def fit_gpu(tensor: Tensor, channels: int = 1) -> bool:
    """Whether the Triton kernels can compute with such a tensor and so many channels."""
    power_of_two = channels & (channels - 1) == 0
    return tensor.device.type == "cuda" and tensor.dtype == torch.float32 and power_of_two
