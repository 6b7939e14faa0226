"""Adam in one pass over all parameters, on a CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from llvmlite import ir
from numba import carray, get_num_threads, njit, prange, types
from numba.extending import intrinsic
from torch import Tensor

from .simd import LOOPS

PARAMETER, GRADIENT, MEAN, SQUARE, STEP = range(5)  # columns of the table of addresses


@intrinsic
def _pointer(typing, address):
    """The floats at an address."""

    def lower(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(types.int64), lower


@njit(cache=True, error_model="numpy")
def _update(parameter, gradient, mean, square, beta1, beta2, rate, correction, eps):
    for i in range(len(parameter)):
        g = gradient[i]
        m = mean[i] + (g - mean[i]) * (np.float32(1) - beta1)
        s = square[i] * beta2 + g * g * (np.float32(1) - beta2)
        mean[i], square[i] = m, s
        parameter[i] -= rate * m / (np.sqrt(s) * correction + eps)


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def _step(addresses, sizes, rates, beta1, beta2, eps, workers):
    """One step of P parameters; addresses [P, 5], sizes [P], rates [P]."""
    for p in range(len(sizes)):
        carray(_pointer(addresses[p, STEP]), (1,))[0] += 1
    for worker in prange(workers):
        for p in range(len(sizes)):
            step = carray(_pointer(addresses[p, STEP]), (1,))[0]
            first, last = worker * sizes[p] // workers, (worker + 1) * sizes[p] // workers
            parts = (
                carray(_pointer(addresses[p, PARAMETER] + 4 * first), (last - first,)),
                carray(_pointer(addresses[p, GRADIENT] + 4 * first), (last - first,)),
                carray(_pointer(addresses[p, MEAN] + 4 * first), (last - first,)),
                carray(_pointer(addresses[p, SQUARE] + 4 * first), (last - first,)),
            )
            _update(
                parts[0], parts[1], parts[2], parts[3],
                np.float32(beta1), np.float32(beta2), np.float32(rates[p] / (1 - beta1**step)),
                np.float32(1 / math.sqrt(1 - beta2**step)), np.float32(eps),
            )  # fmt: skip


class Adam(torch.optim.Adam):
    """torch.optim.Adam without options, for float32 parameters on a CPU; the same state."""

    @torch.no_grad()
    def step(self) -> None:
        rows, sizes, rates, gradients, places = [], [], [], [], {}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradients.append(_like(parameter.grad, parameter))
                place = self._place(parameter)
                rows.append((place.addresses[0], gradients[-1].data_ptr(), *place.addresses[1:]))
                sizes.append(parameter.numel())
                rates.append(group["lr"])
                places[id(parameter)] = place
        self._places = places
        (beta1, beta2), eps = self.defaults["betas"], self.defaults["eps"]
        if rows:
            _step(
                np.array(rows), np.array(sizes), np.array(rates), beta1, beta2, eps,
                get_num_threads(),
            )  # fmt: skip

    def _place(self, parameter: Tensor) -> _Place:
        """Where a parameter and its state lie.

        Kept from step to step: asking for addresses takes longer than many an update.
        """
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        place = getattr(self, "_places", {}).get(id(parameter))
        if place is not None and place.mean is state["exp_avg"]:
            return place
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = _like(state[name], parameter)
        tensors = parameter, state["exp_avg"], state["exp_avg_sq"], state["step"]
        return _Place(parameter, state["exp_avg"], tuple(x.data_ptr() for x in tensors))


@dataclass(frozen=True)
class _Place:
    parameter: Tensor  # held, so that its id stays its own
    mean: Tensor
    addresses: tuple[int, int, int, int]  # of the parameter, mean, mean square and step count


def _like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """The tensor, laid out in memory like the parameter."""
    if tensor.stride() == parameter.stride():
        return tensor
    return torch.empty_like(parameter).copy_(tensor)
