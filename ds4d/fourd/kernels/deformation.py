"""The deformation network as one function with a gradient of its own, on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numba import get_num_threads, njit, prange
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..hexplane import HexPlane
from ..tssf import TSSF, Lookup
from . import fusion, planes
from .layers import ROWS, linear, linear_backward, relu, relu_backward

PARTS = 8  # that the Gaussians are cut into; their gradients are summed part by part
BLOCK = 64  # Gaussians whose features stay in the first-level cache, a multiple of ROWS


@njit(cache=True, error_model="numpy")
def _layers(features, layers, hidden, inner, out, first, last):
    """The network from the features of the points [first, last) to their offsets."""
    weight1, bias1, weight2, bias2, weight3, bias3 = layers
    width, W = len(weight1) // len(bias1), len(bias1)
    W3, outputs = len(bias2), len(bias3)
    for row in range(first, last, BLOCK):
        end = min(row + BLOCK, last)
        x, h = features[row * width : end * width], hidden[row * W : end * W]
        i = inner[row * W3 : end * W3]
        linear(x, weight1, bias1, h)
        relu(h)
        linear(h, weight2, bias2, i)
        relu(i)
        linear(i, weight3, bias3, out[row * outputs : end * outputs])


@njit(cache=True, error_model="numpy")
def _forward_part(
    part, means, bound, spaces, lines, maps, grid, visible, views, layers, kept, out
):  # fmt: skip
    """See forward."""
    bias, score_others, score_pair = views
    samples, shares, fused, features, hidden, inner = kept
    V, h, w, C = maps.shape
    N, width = len(means) // 3, len(layers[0]) // len(layers[1])
    rows = len(features) // width // PARTS
    first, last = part * rows, min(part * rows + rows, N)
    for level in range(len(spaces)):
        S, channels = spaces[level].shape[2:]
        planes.read(
            means, bound, spaces[level].reshape(-1), lines[level], S, channels,
            features, width, level * channels, first, last,
        )  # fmt: skip
    fusion.sample(maps.reshape(-1), h, w, C, V, grid, visible, bias, samples, first, last)
    fusion.merge(
        samples, C, V, visible, score_others, score_pair, shares.reshape(-1, V), fused, features,
        width, width - 2 * C, first, last,
    )  # fmt: skip
    _layers(features, layers, hidden, inner, out, first, part * rows + rows)


@njit(cache=True, parallel=True, error_model="numpy")
def forward(
    means,  # flat [N, 3]
    bound,
    spaces,  # per level [3, S, S, C]
    lines,  # per level flat [3, S, C]
    maps,  # [V, h, w, C]
    grid,  # [V, N, 2]
    visible,  # [V, N]
    views,  # bias [C], score_others [2 C], score_pair [2 C]
    layers,  # weight [I, O], flat, and bias [O] of three layers
    kept,  # written: samples, shares, fused (see fusion), features, hidden, inner [rows, ..], flat
    out,  # flat [rows, O], written
    workers,  # number of threads
):
    for worker in prange(workers):
        for part in range(worker, PARTS, workers):
            _forward_part(
                part, means, bound, spaces, lines, maps, grid, visible, views, layers, kept, out
            )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _layers_backward(
    features, hidden, inner, transposed, v_out, v_features, gradients, part, first, last
):  # fmt: skip
    """Gradients of `_layers`: v_features is written, the layers' are added to in their part."""
    weights1, biases1, weights2, biases2, weights3, biases3 = gradients
    weight1, bias1 = weights1[part].reshape(-1), biases1[part]
    weight2, bias2 = weights2[part].reshape(-1), biases2[part]
    weight3, bias3 = weights3[part].reshape(-1), biases3[part]
    W, W3, outputs = len(bias1), len(bias2), len(bias3)
    width = len(weight1) // W
    v_hidden, v_inner = np.empty(BLOCK * W, np.float32), np.empty(BLOCK * W3, np.float32)
    for row in range(first, last, BLOCK):
        end = min(row + BLOCK, last)
        x, h = features[row * width : end * width], hidden[row * W : end * W]
        i, v = inner[row * W3 : end * W3], v_out[row * outputs : end * outputs]
        v_i, v_h = v_inner[: (end - row) * W3], v_hidden[: (end - row) * W]
        linear_backward(i, transposed[2], v, v_i, weight3, bias3)
        relu_backward(i, v_i)
        linear_backward(h, transposed[1], v_i, v_h, weight2, bias2)
        relu_backward(h, v_h)
        v_x = v_features[row * width : end * width]
        linear_backward(x, transposed[0], v_h, v_x, weight1, bias1)


@njit(cache=True, error_model="numpy")
def _backward_part(
    part, means, maps, visible, views, transposed, kept, v_out, v_kept, v_layers, v_views
):  # fmt: skip
    """Up to the gradients of features and samples, for one part of the Gaussians."""
    _, score_others, score_pair = views
    samples, shares, fused, features, hidden, inner = kept
    v_features, v_samples = v_kept
    v_bias, v_others, v_pair, v_fused = v_views
    V, h, w, C = maps.shape
    N, width = len(means) // 3, len(transposed[0]) // v_layers[1].shape[1]
    rows = len(features) // width // PARTS
    first, last = part * rows, min(part * rows + rows, N)
    _layers_backward(
        features, hidden, inner, transposed, v_out, v_features, v_layers, part, first,
        part * rows + rows,
    )  # fmt: skip
    fusion.merge_backward(
        samples, C, V, visible, score_others, score_pair, shares.reshape(-1, V), fused,
        v_features, width, width - 2 * C, v_fused, v_samples, v_bias, v_others, v_pair, part,
        first, last,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _scatter(
    task, means, bound, spaces, lines, maps, grid, visible, width, v_kept, v_spaces, v_lines, v_maps
):  # fmt: skip
    """From there to one level's planes, or to one view's map."""
    v_features, v_samples = v_kept
    V, h, w, C = maps.shape
    if task < len(spaces):
        S, channels = spaces[task].shape[2:]
        planes.read_backward(
            means, bound, spaces[task].reshape(-1), lines[task], S, channels, v_features, width,
            task * channels, len(means) // 3, v_spaces[task].reshape(-1), v_lines[task],
        )  # fmt: skip
    else:
        view = task - len(spaces)
        fusion.sample_backward(v_samples, h, w, C, V, grid, visible, view, v_maps.reshape(-1))


@njit(cache=True, parallel=True, error_model="numpy")
def backward(
    means, bound, spaces, lines, maps, grid, visible, views,  # as in forward
    transposed,  # weight [O, I], flat, of three layers
    kept,
    v_out,  # flat [rows, O], zeros beyond N
    v_kept,  # of features and samples, written
    v_layers,  # weight [parts, I, O] and bias [parts, O] of three layers, zeros; written
    v_views,  # flat [parts, ..], zeros; written: those of views, and scratch [parts, 2 C]
    v_spaces,  # zeros, written, and so are the rest
    v_lines,
    v_maps,
    workers,
):  # fmt: skip
    for worker in prange(workers):
        for part in range(worker, PARTS, workers):
            _backward_part(
                part, means, maps, visible, views, transposed, kept, v_out, v_kept, v_layers,
                v_views,
            )  # fmt: skip
    tasks, width = len(v_spaces) + len(v_maps), len(transposed[0]) // v_layers[1].shape[1]
    for worker in prange(workers):
        for task in range(worker, tasks, workers):
            _scatter(
                task, means, bound, spaces, lines, maps, grid, visible, width, v_kept,
                v_spaces, v_lines, v_maps,
            )  # fmt: skip


def deform(
    means: Tensor,  # [N, 3]
    hexplane: HexPlane,
    row: float,  # of the planes over time
    tssf: TSSF,
    reduced: Tensor,  # [V, h, w, C]
    lookup: Lookup,
    layers: Sequence[Tensor],  # weight [O, I] and bias [O] of three layers
) -> Tensor:  # [N, O]
    """Features of planes and views, side by side, through three layers with ReLU between them."""
    settings = hexplane.bound, row, len(hexplane.space)
    views = tssf.reduce.bias, tssf.score_others.weight[0], tssf.score_pair.weight[0]
    return _Deform.apply(
        settings, means, lookup.grid, lookup.visible, reduced, *hexplane.space, *hexplane.time,
        *views, *layers,
    )  # fmt: skip


class _Deform(torch.autograd.Function):
    @staticmethod
    def forward(ctx, settings, means, grid, visible, reduced, *parameters):
        bound, row, levels = settings
        space, time = parameters[:levels], parameters[levels : 2 * levels]
        views, layers = parameters[2 * levels : 2 * levels + 3], parameters[2 * levels + 3 :]
        weights, biases = layers[0::2], layers[1::2]
        N, V, C = len(means), *reduced.shape[::3]
        rows = -(-N // (PARTS * ROWS)) * PARTS * ROWS
        spaces = tuple(_last(plane) for plane in space)
        lines = tuple(
            planes.lines_at(_last(plane).reshape(-1), row, *_last(plane).shape[2:])
            for plane in time
        )
        inputs = (
            _array(means).reshape(-1), np.float32(bound), spaces, lines, _array(reduced),
            _array(grid), _array(visible), tuple(_array(x) for x in views),
        )  # fmt: skip
        forward_layers = []
        for weight, bias in zip(weights, biases, strict=True):
            forward_layers += [_array(weight.T).reshape(-1), _array(bias)]
        widths = weights[0].shape[1], *(len(bias) for bias in biases)
        features, hidden, inner, out = (np.empty(rows * width, np.float32) for width in widths)
        features[N * widths[0] :] = 0
        samples = np.empty(N * V * C, np.float32)
        shares, fused = np.empty(N * V, np.float32), np.empty(N * 2 * C, np.float32)
        kept = samples, shares, fused, features, hidden, inner
        forward(*inputs, tuple(forward_layers), kept, out, get_num_threads())
        ctx.kept, ctx.inputs, ctx.widths, ctx.row = kept, inputs, widths, row
        ctx.transposed = tuple(_array(weight).reshape(-1) for weight in weights)
        ctx.times = [plane.shape[2] for plane in time]
        return torch.from_numpy(out.reshape(rows, -1)[:N])

    @staticmethod
    @once_differentiable
    def backward(ctx, v_out):
        _, _, spaces, lines, maps, _, _, views = ctx.inputs
        samples, features = ctx.kept[0], ctx.kept[3]
        rows, N = len(features) // ctx.widths[0], len(v_out)
        v_last = np.zeros((rows, ctx.widths[3]), np.float32)
        v_last[:N] = v_out.numpy()
        v_layers = []
        for inputs, outputs in zip(ctx.widths[:-1], ctx.widths[1:], strict=True):
            v_layers += [_zeros(PARTS, inputs, outputs), _zeros(PARTS, outputs)]
        v_views = *(_zeros(PARTS, len(x)) for x in views), _zeros(PARTS, len(views[1]))
        v_spaces = tuple(np.zeros_like(space) for space in spaces)
        v_lines = tuple(np.zeros_like(line) for line in lines)
        v_maps = np.zeros_like(maps)
        v_kept = np.empty_like(features), np.empty_like(samples)
        backward(
            *ctx.inputs, ctx.transposed, ctx.kept, v_last.reshape(-1), v_kept, tuple(v_layers),
            tuple(x.reshape(-1) for x in v_views), v_spaces, v_lines, v_maps, get_num_threads(),
        )  # fmt: skip
        v_times = []
        for v_line, space, K in zip(v_lines, spaces, ctx.times, strict=True):
            S, C = space.shape[2:]
            v_times.append(_zeros(3, K, S, C))
            planes.lines_backward(v_line, ctx.row, S, C, v_times[-1].reshape(-1))
        summed = [x.sum(0) for x in (*v_views[:3], *v_layers)]
        summed[3::2] = [x.T for x in summed[3::2]]
        planar = [torch.from_numpy(x).permute(0, 3, 1, 2) for x in (*v_spaces, *v_times)]
        ctx.kept = None
        return (
            None, None, None, None, torch.from_numpy(v_maps), *planar,
            *(torch.from_numpy(x) for x in summed),
        )  # fmt: skip


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _last(planes: Tensor) -> np.ndarray:
    """Planes [3, C, h, w] as [3, h, w, C]: no copy where the channels lie last in memory."""
    return _array(planes.permute(0, 2, 3, 1))


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)
