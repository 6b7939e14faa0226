"""A step of the optimization as a CUDA graph: on a GPU, launching its kernels takes longer than
running them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class GraphedStep:
    """A computation on inputs that differ from call to call, captured once per shape.

    Args:
        compute: reads and writes tensors that stay where they are, and its inputs; it never waits
            for the GPU.
        crowded: whether the captured kernels need larger buffers, which a call without a graph
            allocates.
    """

    def __init__(self, compute: Callable[[dict[str, Tensor]], None], crowded: Callable[[], bool]):
        self.compute, self.crowded = compute, crowded
        self.shape: Hashable = None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: dict[str, Tensor] = {}

    def __call__(self, shape: Hashable, inputs: dict[str, Tensor]) -> None:
        """Compute.

        Args:
            shape: everything that the computation depends on beside its inputs. The first call with
                another shape is not captured: kernels are compiled in it, and buffers grow.
        """
        if shape != self.shape or (self.graph is not None and self.crowded()):
            self.shape, self.graph = shape, None
            with _tf32():
                self.compute(inputs)
            return
        if self.graph is None:
            self.inputs = {name: tensor.clone() for name, tensor in inputs.items()}
            self.graph = torch.cuda.CUDAGraph()
            with _tf32(), torch.cuda.graph(self.graph):
                self.compute(self.inputs)
        for name, tensor in inputs.items():
            self.inputs[name].copy_(tensor)
        self.graph.replay()


@contextmanager
def _tf32() -> Iterator[None]:
    """Multiply matrices in TF32: factors with 10 bits of mantissa, float32 sums."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
