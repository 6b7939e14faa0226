"""Kernels of linear layers and of their activation, for many points.

Arrays are contiguous float32; for n points x is [n, I] and out is [n, O]. I and O are multiples of
WIDE, n is a multiple of ROWS.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .simd import WIDE, add, load, load_scalar, multiply_add, select_less, store

ZERO = np.float32(0)
ROWS = 8  # rows of a product that are summed at the same time, in registers


@njit(cache=True, error_model="numpy")
def _add_product(out, a, down, along, b, rows, terms, columns):
    """Add a product of matrices: out[j, m] += sum over t of a[j, t] b[t, m].

    a[j, t] is read at j down + t along from the start of a, so that a may be transposed.
    """
    for j in range(0, rows, ROWS):
        for m in range(0, columns, WIDE):
            o = j * columns + m
            s0, s1 = load(out, o), load(out, o + columns)
            s2, s3 = load(out, o + 2 * columns), load(out, o + 3 * columns)
            s4, s5 = load(out, o + 4 * columns), load(out, o + 5 * columns)
            s6, s7 = load(out, o + 6 * columns), load(out, o + 7 * columns)
            i = j * down
            for t in range(terms):
                row = load(b, t * columns + m)
                s0 = multiply_add(s0, row, load_scalar(a, i))
                s1 = multiply_add(s1, row, load_scalar(a, i + down))
                s2 = multiply_add(s2, row, load_scalar(a, i + 2 * down))
                s3 = multiply_add(s3, row, load_scalar(a, i + 3 * down))
                s4 = multiply_add(s4, row, load_scalar(a, i + 4 * down))
                s5 = multiply_add(s5, row, load_scalar(a, i + 5 * down))
                s6 = multiply_add(s6, row, load_scalar(a, i + 6 * down))
                s7 = multiply_add(s7, row, load_scalar(a, i + 7 * down))
                i += along
            store(out, o, s0)
            store(out, o + columns, s1)
            store(out, o + 2 * columns, s2)
            store(out, o + 3 * columns, s3)
            store(out, o + 4 * columns, s4)
            store(out, o + 5 * columns, s5)
            store(out, o + 6 * columns, s6)
            store(out, o + 7 * columns, s7)


@njit(cache=True, error_model="numpy")
def linear(
    x,  # [n, I]
    weight,  # [I, O]
    bias,  # [O]
    out,  # [n, O], written
):
    """Write out = x weight + bias."""
    rows, outputs = out.shape
    inputs = len(weight)
    for row in range(rows):
        for m in range(0, outputs, WIDE):
            store(out, row * outputs + m, load(bias, m))
    _add_product(out, x, inputs, 1, weight, rows, inputs, outputs)


@njit(cache=True, error_model="numpy")
def linear_backward(
    x,  # [n, I]
    transposed,  # [O, I], the weight transposed
    v_out,  # [n, O]
    v_x,  # [n, I], written
    v_weight,  # [I, O], added to
    v_bias,  # [O], added to
):
    """Gradients of `linear`."""
    rows, outputs = v_out.shape
    inputs = x.shape[1]
    for row in range(rows):
        for m in range(0, outputs, WIDE):
            store(v_bias, m, add(load(v_bias, m), load(v_out, row * outputs + m)))
    _add_product(v_weight, x, 1, inputs, v_out, inputs, rows, outputs)
    v_x[:] = 0
    _add_product(v_x, v_out, outputs, 1, transposed, rows, outputs, inputs)


@njit(cache=True, error_model="numpy")
def relu(x):
    """Set negative numbers to 0, in place."""
    for i in range(0, x.size, WIDE):
        store(x, i, select_less(load(x, i), ZERO, ZERO, load(x, i)))


@njit(cache=True, error_model="numpy")
def relu_backward(x, v_x):
    """Turn the gradient of the outputs x of a ReLU into that of its inputs, in place."""
    for i in range(0, x.size, WIDE):
        store(v_x, i, select_less(ZERO, load(x, i), load(v_x, i), ZERO))
