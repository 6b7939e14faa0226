"""Kernels of temporal-spatial similarity fusion (TSSF, paper section 3.4), at one moment.

`sample` reads the views' reduced feature maps at the Gaussians, bilinearly. `merge` fuses the
samples of the views by the distance-aware attention, where the weights of a score are [2 C]: for
the features and for their distances to the front view's. `mix` is the global attention, with
weights [C]. C is a multiple of WIDE.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .simd import (
    WIDE,
    add,
    broadcast,
    load,
    multiply,
    multiply_add,
    multiply_sign,
    reduce_add,
    store,
    subtract,
)

ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)


@njit(cache=True, error_model="numpy")
def _corners(x, y, h, w):
    """The first of the four patches around a place in [-1, 1], and the weights of all four.

    Bilinear between the centres of patches, zeros beyond the map.
    """
    x, y = (x + ONE) * HALF * np.float32(w) - HALF, (y + ONE) * HALF * np.float32(h) - HALF
    column, row = min(max(int(math.floor(x)), 0), w - 2), min(max(int(math.floor(y)), 0), h - 2)
    x, y = x - np.float32(column), y - np.float32(row)
    left, right = max(ONE - abs(x), ZERO), max(ONE - abs(x - ONE), ZERO)
    above, below = max(ONE - abs(y), ZERO), max(ONE - abs(y - ONE), ZERO)
    return row * w + column, (left * above, right * above, left * below, right * below)


@njit(cache=True, error_model="numpy")
def sample(
    maps,  # [V, h, w, C]
    grid,  # [V, N, 2] places of the Gaussians in the views, in [-1, 1]
    visible,  # [V, N]
    bias,  # [C], added
    samples,  # [N, V, C], written where a view sees a Gaussian
    first,  # range of Gaussians
    last,
):
    """Sample the maps of all views at some Gaussians."""
    V, h, w, C = maps.shape
    for n in range(first, last):
        for v in range(V):
            if not visible[v, n]:
                continue
            patch, weights = _corners(grid[v, n, 0], grid[v, n, 1], h, w)
            for k in range(0, C, WIDE):
                at, below = (v * h * w + patch) * C + k, w * C
                value = multiply_add(load(bias, k), load(maps, at), weights[0])
                value = multiply_add(value, load(maps, at + C), weights[1])
                value = multiply_add(value, load(maps, at + below), weights[2])
                value = multiply_add(value, load(maps, at + below + C), weights[3])
                store(samples, (n * V + v) * C + k, value)


@njit(cache=True, error_model="numpy")
def sample_backward(
    v_samples,  # [N, V, C]
    grid,  # [V, N, 2]
    visible,  # [V, N]
    view,
    v_maps,  # [V, h, w, C], of which one view's is added to
):
    """Gradient of `sample` in the map of one view, summed over all Gaussians in their order."""
    V, h, w, C = v_maps.shape
    for n in range(visible.shape[1]):
        if not visible[view, n]:
            continue
        patch, weights = _corners(grid[view, n, 0], grid[view, n, 1], h, w)
        for k in range(0, C, WIDE):
            v = load(v_samples, (n * V + view) * C + k)
            at, below = (view * h * w + patch) * C + k, w * C
            store(v_maps, at, multiply_add(load(v_maps, at), v, weights[0]))
            store(v_maps, at + C, multiply_add(load(v_maps, at + C), v, weights[1]))
            at += below
            store(v_maps, at, multiply_add(load(v_maps, at), v, weights[2]))
            store(v_maps, at + C, multiply_add(load(v_maps, at + C), v, weights[3]))


@njit(cache=True, error_model="numpy")
def _distance(samples, a, b):
    difference = subtract(load(samples, a), load(samples, b))
    return multiply_sign(difference, difference)


@njit(cache=True, error_model="numpy")
def _dot(x, at, weight, first, C):
    sums = broadcast(ZERO)
    for k in range(0, C, WIDE):
        sums = multiply_add(sums, load(x, at + k), load(weight, first + k))
    return reduce_add(sums)


@njit(cache=True, error_model="numpy")
def _score(samples, at, front, weight, C):
    """The score of one view: weights times its feature and its distance to the front view's."""
    sums = broadcast(ZERO)
    for k in range(0, C, WIDE):
        sums = multiply_add(sums, load(samples, at + k), load(weight, k))
        sums = multiply_add(sums, _distance(samples, at + k, front + k), load(weight, C + k))
    return reduce_add(sums)


@njit(cache=True, error_model="numpy")
def merge(
    samples,  # [N, V, C]; those of a front view that does not see a Gaussian are set to zero
    visible,  # [V, N]
    score_others,  # [2 C] weights of the scores of the other views
    score_pair,  # [2 C] weights of the scores of front view and merged others
    shares,  # [N, V], written: weight of the front view, and of the others among themselves
    fused,  # [N, 2 C], written: merged feature and distance of the others
    out,  # [rows, width], of which 2 C columns are written
    column,  # the first of them
    first,  # range of Gaussians
    last,
):
    """Fuse the views by the distance-aware attention: the others first, then with the front."""
    V, C = samples.shape[1:]
    width = out.shape[1]
    for n in range(first, last):
        front, seen, largest = n * V * C, False, np.float32(-np.inf)
        if not visible[0, n]:
            for k in range(0, C, WIDE):
                store(samples, front + k, broadcast(ZERO))
        for v in range(1, V):
            shares[n, v] = ZERO
            if visible[v, n]:
                shares[n, v] = _score(samples, front + v * C, front, score_others, C)
                largest = max(largest, shares[n, v])
                seen = True
        scale = ZERO
        for v in range(1, V):
            if visible[v, n]:
                shares[n, v] = math.exp(shares[n, v] - largest)
                scale += shares[n, v]
        for k in range(0, C, WIDE):
            feature, distance = broadcast(ZERO), broadcast(ZERO)
            for v in range(1, V):
                if visible[v, n]:
                    share, at = shares[n, v] / scale, front + v * C + k
                    feature = multiply_add(feature, load(samples, at), share)
                    distance = multiply_add(distance, _distance(samples, at, front + k), share)
            store(fused, n * 2 * C + k, feature)
            store(fused, n * 2 * C + C + k, distance)
        for v in range(1, V):
            shares[n, v] = shares[n, v] / scale if seen else ZERO
        shares[n, 0] = ONE if visible[0, n] else ZERO
        if visible[0, n] and seen:
            difference = _dot(fused, n * 2 * C, score_pair, 0, 2 * C)
            difference -= _dot(samples, front, score_pair, 0, C)
            shares[n, 0] = ONE / (ONE + np.float32(math.exp(difference)))
        rest = ONE - shares[n, 0]
        for k in range(0, C, WIDE):
            mixed = multiply(load(fused, n * 2 * C + k), rest)
            mixed = multiply_add(mixed, load(samples, front + k), shares[n, 0])
            store(out, n * width + column + k, mixed)
            store(out, n * width + column + C + k, multiply(load(fused, n * 2 * C + C + k), rest))


@njit(cache=True, error_model="numpy")
def _add(sums, at, value):
    store(sums, at, add(load(sums, at), value))


@njit(cache=True, error_model="numpy")
def merge_backward(
    samples,  # as in merge, and so on
    visible,
    score_others,
    score_pair,
    shares,
    fused,
    v_out,  # [rows, width]
    column,
    v_samples,  # [N, V, C], written where a view sees a Gaussian
    v_bias,  # [C], added to
    v_others,  # [2 C], added to
    v_pair,  # [2 C], added to
    first,
    last,
):
    """Gradients of `merge` and of the bias of `sample`, for some Gaussians.

    A bias of scores has no gradient: softmax does not change when all scores do.
    """
    V, C = samples.shape[1:]
    width = v_out.shape[1]
    v_fused = np.empty(2 * C, np.float32)
    for n in range(first, last):
        front, both, mixed = n * V * C, n * 2 * C, n * width + column
        share = shares[n, 0]
        turn = ZERO  # gradient of the fused views' score; the front's is its opposite
        if visible[0, n]:
            sums = broadcast(ZERO)
            for k in range(0, C, WIDE):
                change = subtract(load(fused, both + k), load(samples, front + k))
                sums = multiply_add(sums, load(v_out, mixed + k), change)
                sums = multiply_add(sums, load(v_out, mixed + C + k), load(fused, both + C + k))
            turn = share * (ONE - share) * reduce_add(sums)
        for k in range(0, C, WIDE):
            of_feature, of_distance = load(score_pair, k), load(score_pair, C + k)
            v_feature = multiply(load(v_out, mixed + k), ONE - share)
            v_distance = multiply(load(v_out, mixed + C + k), ONE - share)
            store(v_fused, k, multiply_add(v_feature, of_feature, turn))
            store(v_fused, C + k, multiply_add(v_distance, of_distance, turn))
            v_front = multiply(load(v_out, mixed + k), share)
            store(v_samples, front + k, multiply_add(v_front, of_feature, -turn))
            change = subtract(load(fused, both + k), load(samples, front + k))
            _add(v_pair, k, multiply(change, turn))
            _add(v_pair, C + k, multiply(load(fused, both + C + k), turn))
        mean = _dot(fused, both, v_fused, 0, 2 * C)
        for v in range(1, V):
            if not visible[v, n]:
                continue
            at, share = front + v * C, shares[n, v]
            sums = broadcast(ZERO)
            for k in range(0, C, WIDE):
                distance = _distance(samples, at + k, front + k)
                sums = multiply_add(sums, load(samples, at + k), load(v_fused, k))
                sums = multiply_add(sums, distance, load(v_fused, C + k))
            v_score = share * (reduce_add(sums) - mean)
            for k in range(0, C, WIDE):
                difference = subtract(load(samples, at + k), load(samples, front + k))
                v_distance = multiply(load(v_fused, C + k), share)
                v_distance = multiply_add(v_distance, load(score_others, C + k), v_score)
                v_distance = multiply_sign(difference, v_distance)
                v_sample = multiply_add(v_distance, load(v_fused, k), share)
                v_sample = multiply_add(v_sample, load(score_others, k), v_score)
                store(v_samples, at + k, v_sample)
                store(v_samples, front + k, subtract(load(v_samples, front + k), v_distance))
                _add(v_bias, k, v_sample)
                _add(v_others, k, multiply(load(samples, at + k), v_score))
                _add(v_others, C + k, multiply(multiply_sign(difference, difference), v_score))
        if visible[0, n]:
            for k in range(0, C, WIDE):
                _add(v_bias, k, load(v_samples, front + k))


@njit(cache=True, error_model="numpy")
def mix(
    samples,  # [N, V, C]
    visible,  # [V, N]
    score,  # [C] weights of the scores; zeros give the mean of the visible views
    shares,  # [N, V], written: weights of the views
    out,  # [rows, width], of which C columns are written
    column,  # the first of them
    first,  # range of Gaussians
    last,
):
    """Fuse the views by a softmax over those that see a Gaussian (eq. 3 and 4)."""
    V, C = samples.shape[1:]
    width = out.shape[1]
    for n in range(first, last):
        at, largest = n * V * C, np.float32(-np.inf)
        for v in range(V):
            shares[n, v] = ZERO
            if visible[v, n]:
                shares[n, v] = _dot(samples, at + v * C, score, 0, C)
                largest = max(largest, shares[n, v])
        scale = ZERO
        for v in range(V):
            if visible[v, n]:
                shares[n, v] = math.exp(shares[n, v] - largest)
                scale += shares[n, v]
        for v in range(V):
            if visible[v, n]:
                shares[n, v] = shares[n, v] / scale
        for k in range(0, C, WIDE):
            sums = broadcast(ZERO)
            for v in range(V):
                if visible[v, n]:
                    sums = multiply_add(sums, load(samples, at + v * C + k), shares[n, v])
            store(out, n * width + column + k, sums)


@njit(cache=True, error_model="numpy")
def mix_backward(
    samples,  # as in mix, and so on
    visible,
    score,
    shares,
    out,  # [rows, width]
    v_out,  # [rows, width]
    column,
    v_samples,  # [N, V, C], written where a view sees a Gaussian
    v_bias,  # [C], added to
    v_score,  # [C], added to
    first,
    last,
):
    """Gradients of `mix` and of the bias of `sample`, for some Gaussians."""
    V, C = samples.shape[1:]
    width = out.shape[1]
    for n in range(first, last):
        mixed = n * width + column
        mean = _dot(out, mixed, v_out, mixed, C)
        for v in range(V):
            if not visible[v, n]:
                continue
            at, share = (n * V + v) * C, shares[n, v]
            turn = share * (_dot(samples, at, v_out, mixed, C) - mean)
            for k in range(0, C, WIDE):
                v_sample = multiply(load(v_out, mixed + k), share)
                v_sample = multiply_add(v_sample, load(score, k), turn)
                store(v_samples, at + k, v_sample)
                _add(v_bias, k, v_sample)
                _add(v_score, k, multiply(load(samples, at + k), turn))
