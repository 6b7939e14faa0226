"""The result is a mean over the last steps, not the last step's own parameters.

Each step sees one frame from two views and goes a way of constant length for its sake, so that the
parameters jump about what all frames and views together ask for. A running mean of them lies nearer
to it than any of them (Polyak averaging), and costs no steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

EVERY = 10  # steps between two looks at the parameters


class Averages:
    """Exponential means of parameters, which they begin as, over about `steps` >= EVERY steps."""

    def __init__(self, parameters: Sequence[Tensor], steps: int):
        self.parameters = list(parameters)
        self.means = [parameter.detach().clone() for parameter in self.parameters]
        self.share = EVERY / steps

    @torch.no_grad()
    def look(self) -> None:
        """Take the parameters in as they are now."""
        for mean, parameter in zip(self.means, self.parameters, strict=True):
            mean.lerp_(parameter, self.share)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Inside the block the parameters are their means."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for mean, parameter in zip(self.means, self.parameters, strict=True):
            kept = parameter.clone()
            parameter.copy_(mean)
            mean.copy_(kept)
