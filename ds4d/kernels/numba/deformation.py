"""The deformation network on a CPU, as one function with a gradient of its own.

HexPlane features (hexplane.py) and fused features of the views (tssf.py) of each Gaussian lie side
by side, and linear layers with a ReLU between them (linear.py) turn them into the offsets. The
Gaussians are cut into PARTS that threads share; the gradient of a weight is summed part by part in
a fixed order, so that results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numba import get_num_threads, njit, prange
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..padding import pad_blocks
from . import hexplane, tssf
from .linear import ROWS, linear, linear_backward, relu, relu_backward
from .simd import LOOPS, WIDE

PARTS = 8  # that the Gaussians are cut into
BLOCK = 64  # Gaussians whose features stay in the first-level cache, a multiple of ROWS


class Views(NamedTuple):
    """Inputs of TSSF: feature maps of V views at K moments; V = 0 without any."""

    maps: np.ndarray  # [K, V, h, w, C]
    grid: np.ndarray  # [V, N, 2] places of the Gaussians in the views, in [-1, 1]
    visible: np.ndarray  # [V, N]
    bias: np.ndarray  # [C], added to the samples of the maps
    score_others: np.ndarray  # [2 C] of the distance-aware attention, [C] of the global one
    score_pair: np.ndarray  # [2 C] of the distance-aware attention, [0] of the global one


class Kept(NamedTuple):
    """Results of the forward pass that the backward pass needs, beside the outputs of the layers;
    rows are N, rounded up."""

    samples: np.ndarray  # [K, N, V, C]
    shares: np.ndarray  # [K, N, V]
    fused: np.ndarray  # [K, N, 2 C]
    features: np.ndarray  # [K, rows, I]


@njit(cache=True, error_model="numpy")
def _mlp(
    features,  # [rows, I]
    weights,  # of each layer [I, O]
    biases,  # of each layer [O]
    outputs,  # of each layer [K, rows, O], written
    k,  # moment
    first,  # range of rows
    last,
):
    """Linear layers with a ReLU between them."""
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        x = features[start:end]
        for i in range(len(weights)):
            out = outputs[i][k, start:end]
            linear(x, weights[i], biases[i], out)
            if i + 1 < len(weights):
                relu(out)
            x = out


@njit(cache=True, error_model="numpy")
def _mlp_backward(
    features,  # [rows, I]
    transposed,  # weight [O, I] of each layer
    outputs,  # of each layer [K, rows, O]
    v_out,  # [K, rows, O] of the last layer
    v_features,  # [rows, I], written
    v_weights,  # of each layer [PARTS, I, O], added to
    v_biases,  # of each layer [PARTS, O], added to
    k,
    part,
    first,
    last,
):
    """Gradients of `_mlp`."""
    widest = 0
    for weight in transposed:
        widest = max(widest, len(weight))
    scratch = np.empty((2, BLOCK * widest), np.float32)
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        v = v_out[k, start:end]
        for i in range(len(transposed) - 1, -1, -1):
            if i:
                x = outputs[i - 1][k, start:end]
                v_x = scratch[i % 2, : x.size].reshape(x.shape)
            else:
                x, v_x = features[start:end], v_features[start:end]
            linear_backward(x, transposed[i], v, v_x, v_weights[i][part], v_biases[i][part])
            if i:
                relu_backward(x, v_x)
            v = v_x


@njit(cache=True, error_model="numpy")
def _forward_part(part, inside, spaces, lines, views, weights, biases, kept, outputs):
    """The network for one part of the Gaussians (see forward)."""
    K, V, _, _, C = views.maps.shape
    rows, width = kept.features.shape[1:]
    rows //= PARTS
    first, last = part * rows, min(part * rows + rows, len(inside))
    column = 0
    for level in range(len(spaces)):
        hexplane.read(inside, spaces[level], lines[level], kept.features, column, first, last)
        column += spaces[level].shape[3]
    for k in range(K):
        if V:
            samples, shares, features = kept.samples[k], kept.shares[k], kept.features[k]
            tssf.sample(views.maps[k], views.grid, views.visible, views.bias, samples, first, last)
            if len(views.score_pair):
                tssf.merge(
                    samples, views.visible, views.score_others, views.score_pair, shares,
                    kept.fused[k], features, column, first, last,
                )  # fmt: skip
            else:
                tssf.mix(
                    samples, views.visible, views.score_others, shares, features, column, first,
                    last,
                )  # fmt: skip
        _mlp(kept.features[k], weights, biases, outputs, k, part * rows, part * rows + rows)


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def forward(
    inside,  # [N, 3] places in the cube that the planes cover, from -1 to 1
    spaces,  # per level [3, S, S, C]
    lines,  # per level [K, 3, S, C]
    views,  # Views
    weights,  # of each layer [I, O]
    biases,  # of each layer [O]
    kept,  # Kept, written
    outputs,  # of each layer [K, rows, O], written; the last are the offsets
    workers,  # number of threads
):
    # Tuples lie side by side: what runs in parallel takes no tuple within a tuple.
    for worker in prange(workers):
        for part in range(worker, PARTS, workers):
            _forward_part(part, inside, spaces, lines, views, weights, biases, kept, outputs)


@njit(cache=True, error_model="numpy")
def _backward_part(
    part, views, transposed, kept, outputs, v_out, v_features, v_samples, v_views, v_weights,
    v_biases, column,
):  # fmt: skip
    """Gradients of weights, features and samples, for one part of the Gaussians."""
    K, V, _, _, C = views.maps.shape
    N, rows = kept.samples.shape[1], kept.features.shape[1] // PARTS
    first, last = part * rows, min(part * rows + rows, N)
    v_bias, v_others, v_pair = v_views
    for k in range(K):
        _mlp_backward(
            kept.features[k], transposed, outputs, v_out, v_features[k], v_weights, v_biases, k,
            part, first, first + rows,
        )  # fmt: skip
        if not V:
            continue
        if len(views.score_pair):
            tssf.merge_backward(
                kept.samples[k], views.visible, views.score_others, views.score_pair,
                kept.shares[k], kept.fused[k], v_features[k], column, v_samples[k],
                v_bias[part], v_others[part], v_pair[part], first, last,
            )  # fmt: skip
        else:
            tssf.mix_backward(
                kept.samples[k], views.visible, views.score_others, kept.shares[k],
                kept.features[k], v_features[k], column, v_samples[k], v_bias[part],
                v_others[part], first, last,
            )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _scatter(task, inside, spaces, lines, views, v_features, v_samples, v_spaces, v_lines, v_maps):
    """Gradients of the planes of one level, or of the map of one view at one moment."""
    if task < len(spaces):
        column = 0
        for level in range(task):
            column += spaces[level].shape[3]
        hexplane.read_backward(
            inside, spaces[task], lines[task], v_features, column, v_spaces[task], v_lines[task]
        )
    else:
        V = len(views.visible)
        k, view = (task - len(spaces)) // V, (task - len(spaces)) % V
        tssf.sample_backward(v_samples[k], views.grid, views.visible, view, v_maps[k])


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def backward(
    inside,  # as in forward, and so on
    spaces,
    lines,
    views,
    transposed,  # weight [O, I] of each layer
    kept,
    outputs,
    v_out,  # [K, rows, O], zeros beyond N
    v_features,  # [K, rows, I], written
    v_samples,  # [K, N, V, C], written
    v_views,  # bias, score_others and score_pair [PARTS, ...], added to
    v_weights,  # of each layer [PARTS, I, O], added to
    v_biases,  # of each layer [PARTS, O], added to
    v_spaces,  # added to, and so are the rest
    v_lines,
    v_maps,
    workers,
):
    column = 0
    for level in range(len(spaces)):
        column += spaces[level].shape[3]
    for worker in prange(workers):
        for part in range(worker, PARTS, workers):
            _backward_part(
                part, views, transposed, kept, outputs, v_out, v_features, v_samples, v_views,
                v_weights, v_biases, column,
            )  # fmt: skip
    for worker in prange(workers):
        for task in range(worker, len(spaces) + v_maps.shape[0] * v_maps.shape[1], workers):
            _scatter(
                task, inside, spaces, lines, views, v_features, v_samples, v_spaces, v_lines,
                v_maps,
            )  # fmt: skip


def deform(
    inside: Tensor,  # [N, 3] places in the cube that the planes cover, from -1 to 1
    spaces: Sequence[Tensor],  # space planes of each level [3, C, S, S]
    times: Sequence[Tensor],  # time planes of each level [3, C, T, S]
    rows: Sequence[float],  # [K] places of the moments along T, in cells
    maps: Tensor,  # [K, V, h, w, D] reduced feature maps; V = 0 without any
    grid: Tensor,  # [V, N, 2] places of the Gaussians in the views, in [-1, 1]
    visible: Tensor,  # [V, N] 1 where a view sees a Gaussian, else 0
    bias: Tensor,  # [D], added to the samples of the maps
    scores: Sequence[Tensor],  # weights of TSSF: two [2 D] (distance-aware), one [D] (global)
    layers: Sequence[tuple[Tensor, Tensor]],  # weight [O, I] and bias [O] of each
) -> Tensor:  # [K, N, O]
    """Offsets of N Gaussians at K moments; differentiable but for the first of the arguments, rows,
    grid and visible.

    Without scores, the views that see a Gaussian are averaged. The first layer reads the features
    of the planes, level by level, then those of the views. Widths that are no multiple of WIDE
    are padded with zeros.
    """
    C, D, V = spaces[0].shape[1], maps.shape[4], maps.shape[1]
    if V and min(maps.shape[2:4]) < 2:
        raise ValueError(f"feature maps need at least 2 x 2 patches, got {list(maps.shape[2:4])}")
    planes = [_aligned(x.permute(0, 2, 3, 1), [C]) for x in (*spaces, *times)]
    score_others, score_pair = (*scores, *[bias.new_zeros(D), bias[:0]][len(scores) :])
    views = [
        _aligned(maps, [D]),
        _aligned(bias, [D]),
        _aligned(score_others, [D] * (len(score_others) // D if D else 0)),
        _aligned(score_pair, [D] * (len(score_pair) // D if D else 0)),
    ]
    inputs = layers[0][0].shape[1]
    blocks = [C] * len(spaces) + [D] * ((inputs - C * len(spaces)) // D if D else 0)
    aligned = []
    for weight, layer_bias in layers:
        outputs = len(layer_bias)
        aligned.append(_aligned(_aligned(weight, blocks).t(), [outputs]))
        aligned.append(_aligned(layer_bias, [outputs]))
        blocks = [outputs]
    out = _Deform.apply(rows, len(spaces), inside, grid[:V], visible[:V], *views, *planes, *aligned)
    return out[..., : len(layers[-1][1])]


def _aligned(tensor: Tensor, widths: Sequence[int]) -> Tensor:
    """Zeros after each block of the last axis, up to a multiple of WIDE."""
    return pad_blocks(tensor, widths, lambda width: -(-width // WIDE) * WIDE)


class _Deform(torch.autograd.Function):
    @staticmethod
    def forward(ctx, moments, levels, inside, grid, visible, maps, bias, others, pair, *rest):
        inside, grid, visible, maps, bias, others, pair, *rest = (
            _array(x) for x in (inside, grid, visible, maps, bias, others, pair, *rest)
        )
        spaces, times, rest = rest[:levels], rest[levels : 2 * levels], rest[2 * levels :]
        weights, biases = tuple(rest[0::2]), tuple(rest[1::2])
        (K, V, _, _, D), N = maps.shape, len(inside)
        rows = -(-N // (PARTS * ROWS)) * PARTS * ROWS
        lines = tuple(_lines(time, moments) for time in times)
        kept = Kept(
            *(np.empty(shape, np.float32) for shape in ((K, N, V, D), (K, N, V), (K, N, 2 * D))),
            np.empty((K, rows, len(weights[0])), np.float32),
        )
        outputs = tuple(np.empty((K, rows, len(b)), np.float32) for b in biases)
        kept.features[:, N:] = 0
        views = Views(maps, grid, visible, bias, others, pair)
        ctx.inputs = inside, tuple(spaces), lines, views
        forward(*ctx.inputs, weights, biases, kept, outputs, get_num_threads())
        ctx.layers, ctx.kept = (weights, biases), (kept, outputs)
        ctx.moments, ctx.times = moments, [time.shape for time in times]
        return torch.from_numpy(outputs[-1][:, :N])

    @staticmethod
    @once_differentiable
    def backward(ctx, v_offsets):
        (_, spaces, lines, views), (weights, biases) = ctx.inputs, ctx.layers
        kept, outputs = ctx.kept
        v_out = np.zeros(outputs[-1].shape, np.float32)
        v_out[:, : v_offsets.shape[1]] = v_offsets.numpy()
        v_features, v_samples = np.empty_like(kept.features), np.empty_like(kept.samples)
        v_views = tuple(_parts(x) for x in (views.bias, views.score_others, views.score_pair))
        v_weights, v_biases = (tuple(map(_parts, arrays)) for arrays in (weights, biases))
        v_spaces, v_lines = (tuple(map(np.zeros_like, arrays)) for arrays in (spaces, lines))
        v_maps = np.zeros_like(views.maps)
        transposed = tuple(np.ascontiguousarray(weight.T) for weight in weights)
        backward(
            *ctx.inputs, transposed, kept, outputs, v_out, v_features, v_samples, v_views,
            v_weights, v_biases, v_spaces, v_lines, v_maps, get_num_threads(),
        )  # fmt: skip
        v_times = [np.zeros(shape, np.float32) for shape in ctx.times]
        for v_line, v_time in zip(v_lines, v_times, strict=True):
            for v_moment, row in zip(v_line, ctx.moments, strict=True):
                hexplane.lines_backward(v_moment, row, v_time)
        ctx.inputs = ctx.kept = ctx.layers = None
        v_layers = [v.sum(0) for pair in zip(v_weights, v_biases, strict=True) for v in pair]
        found = v_maps, *(v.sum(0) for v in v_views), *v_spaces, *v_times, *v_layers
        return None, None, None, None, None, *map(torch.from_numpy, found)


def _array(tensor: Tensor) -> np.ndarray:
    """The tensor's own memory, or a contiguous copy."""
    return tensor.detach().contiguous().numpy()


def _parts(array: np.ndarray) -> np.ndarray:
    """Zeros of the same shape for each of the parts."""
    return np.zeros((PARTS, *array.shape), np.float32)


def _lines(time: np.ndarray, moments: Sequence[float]) -> np.ndarray:
    """Time planes [3, T, S, C] at the K moments, [K, 3, S, C]."""
    T, S, C = time.shape[1:]
    lines = np.empty((len(moments), 3, S, C), np.float32)
    for row, line in zip(moments, lines, strict=True):
        hexplane.lines_at(time, row, line)
    return lines
