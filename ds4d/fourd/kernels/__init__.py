"""What a step of the optimization costs most, as numba kernels for CPUs.

They compute what the torch modules beside them say, which stay the reference: for float64, and on
GPUs. Results do not depend on the number of threads: work is cut into a fixed number of parts.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fit(tensor: Tensor) -> bool:
    """Whether the kernels can compute with such a tensor."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32
