"""Kernels of HexPlane features of one level (Cao and Johnson 2023), and of their gradients.

Places in the cube are [N, 3], from -1 to 1. Space planes are [3, S, S, C] (xy, xz, yz; the first
axis runs along the columns). All Gaussians share the K moments, so each time plane is a line at
each of them: [K, 3, S, C] along x, y and z. Values in space are the same for all K moments, and
their gradients are summed over them. C is a multiple of WIDE.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .simd import WIDE, broadcast, load, multiply, multiply_add, store

ONE, HALF = np.float32(1), np.float32(0.5)


@njit(cache=True, error_model="numpy")
def _cell(coordinate, S):
    """The cell along an axis and the share of the way through it, clamped to the cube."""
    at = (coordinate + ONE) * HALF * np.float32(S - 1)
    at = min(max(at, np.float32(0)), np.float32(S - 1))
    cell = min(int(at), S - 2)
    return cell, at - np.float32(cell)


@njit(cache=True, error_model="numpy")
def _weights(a, b):
    """Bilinear weights of a cell's corners: left and right of the upper row, then of the lower."""
    return (ONE - a) * (ONE - b), a * (ONE - b), (ONE - a) * b, a * b


@njit(cache=True, error_model="numpy")
def _on_plane(planes, at, C, S, weights):
    upper = multiply_add(multiply(load(planes, at), weights[0]), load(planes, at + C), weights[1])
    at += S * C
    return multiply_add(
        multiply_add(upper, load(planes, at), weights[2]), load(planes, at + C), weights[3]
    )


@njit(cache=True, error_model="numpy")
def _on_line(lines, at, C, share):
    return multiply_add(multiply(load(lines, at), ONE - share), load(lines, at + C), share)


@njit(cache=True, error_model="numpy")
def _add(v_planes, at, v, weight):
    store(v_planes, at, multiply_add(load(v_planes, at), v, weight))


@njit(cache=True, error_model="numpy")
def _places(inside, n, S, C):
    """First cell of a Gaussian in the three planes and on the three lines, and its shares of x, y
    and z in them."""
    x, a = _cell(inside[n, 0], S)
    y, b = _cell(inside[n, 1], S)
    z, c = _cell(inside[n, 2], S)
    planes = (y * S + x) * C, ((S + z) * S + x) * C, ((2 * S + z) * S + y) * C
    return planes, (x * C, (S + y) * C, (2 * S + z) * C), (a, b, c)


@njit(cache=True, error_model="numpy")
def read(
    inside,  # [N, 3]
    space,  # [3, S, S, C]
    lines,  # [K, 3, S, C]
    out,  # [K, rows, width], of which C columns are written
    column,  # the first of them
    first,  # range of Gaussians
    last,
):
    """Write the products of the six planes' values at some Gaussians."""
    K, _, S, C = lines.shape
    rows, width = out.shape[1:]
    for n in range(first, last):
        (xy, xz, yz), (x, y, z), (a, b, c) = _places(inside, n, S, C)
        ab, ac, bc = _weights(a, b), _weights(a, c), _weights(b, c)
        for k in range(0, C, WIDE):
            on_space = multiply(
                multiply(_on_plane(space, xy + k, C, S, ab), _on_plane(space, xz + k, C, S, ac)),
                _on_plane(space, yz + k, C, S, bc),
            )
            for moment in range(K):
                at = moment * 3 * S * C + k
                on_time = multiply(
                    multiply(_on_line(lines, at + x, C, a), _on_line(lines, at + y, C, b)),
                    _on_line(lines, at + z, C, c),
                )
                at = (moment * rows + n) * width + column + k
                store(out, at, multiply(on_space, on_time))


@njit(cache=True, error_model="numpy")
def read_backward(
    inside,  # [N, 3]
    space,  # [3, S, S, C]
    lines,  # [K, 3, S, C]
    v_out,  # [K, rows, width]
    column,
    v_space,  # [3, S, S, C], added to
    v_lines,  # [K, 3, S, C], added to
):
    """Gradients of `read`, summed over all Gaussians in their order."""
    K, _, S, C = lines.shape
    rows, width = v_out.shape[1:]
    for n in range(len(inside)):
        (xy, xz, yz), (x, y, z), (a, b, c) = _places(inside, n, S, C)
        ab, ac, bc = _weights(a, b), _weights(a, c), _weights(b, c)
        for k in range(0, C, WIDE):
            on_xy = _on_plane(space, xy + k, C, S, ab)
            on_xz = _on_plane(space, xz + k, C, S, ac)
            on_yz = _on_plane(space, yz + k, C, S, bc)
            on_space = multiply(multiply(on_xy, on_xz), on_yz)
            v_space_part = broadcast(np.float32(0))
            for moment in range(K):
                at = moment * 3 * S * C + k
                on_x = _on_line(lines, at + x, C, a)
                on_y = _on_line(lines, at + y, C, b)
                on_z = _on_line(lines, at + z, C, c)
                v = load(v_out, (moment * rows + n) * width + column + k)
                v_space_part = multiply_add(v_space_part, v, multiply(multiply(on_x, on_y), on_z))
                v = multiply(v, on_space)
                _add_line(v_lines, at + x, C, a, multiply(v, multiply(on_y, on_z)))
                _add_line(v_lines, at + y, C, b, multiply(v, multiply(on_x, on_z)))
                _add_line(v_lines, at + z, C, c, multiply(v, multiply(on_x, on_y)))
            _add_plane(v_space, xy + k, C, S, ab, multiply(v_space_part, multiply(on_xz, on_yz)))
            _add_plane(v_space, xz + k, C, S, ac, multiply(v_space_part, multiply(on_xy, on_yz)))
            _add_plane(v_space, yz + k, C, S, bc, multiply(v_space_part, multiply(on_xy, on_xz)))


@njit(cache=True, error_model="numpy")
def _add_plane(v_space, at, C, S, weights, v):
    _add(v_space, at, v, weights[0])
    _add(v_space, at + C, v, weights[1])
    _add(v_space, at + S * C, v, weights[2])
    _add(v_space, at + S * C + C, v, weights[3])


@njit(cache=True, error_model="numpy")
def _add_line(v_lines, at, C, share, v):
    _add(v_lines, at, v, ONE - share)
    _add(v_lines, at + C, v, share)


@njit(cache=True, error_model="numpy")
def lines_at(
    time,  # [3, T, S, C]
    row,  # in [0, T - 1]
    lines,  # [3, S, C], written
):
    """Interpolate the time planes at a moment."""
    below = min(int(row), time.shape[1] - 2)
    share = np.float32(row - below)
    for axis in range(3):
        for s in range(lines.shape[1]):
            for c in range(lines.shape[2]):
                start = time[axis, below, s, c]
                lines[axis, s, c] = start + share * (time[axis, below + 1, s, c] - start)


@njit(cache=True, error_model="numpy")
def lines_backward(
    v_lines,  # [3, S, C]
    row,
    v_time,  # [3, T, S, C], added to
):
    """Gradient of `lines_at`."""
    below = min(int(row), v_time.shape[1] - 2)
    share = np.float32(row - below)
    for axis in range(3):
        for s in range(v_lines.shape[1]):
            for c in range(v_lines.shape[2]):
                v_time[axis, below, s, c] += (ONE - share) * v_lines[axis, s, c]
                v_time[axis, below + 1, s, c] += share * v_lines[axis, s, c]
