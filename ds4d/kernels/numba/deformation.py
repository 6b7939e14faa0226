"""The deformation network as one function with a gradient of its own, on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numba import get_num_threads, njit, prange
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...fourd.hexplane import HexPlane
from ...fourd.tssf import Lookup
from . import hexplane as planes
from . import tssf
from .linear import ROWS, linear, linear_backward, relu, relu_backward
from .simd import LOOPS

PARTS = 8  # that the Gaussians are cut into; their gradients are summed part by part
BLOCK = 64  # Gaussians whose features stay in the first-level cache, a multiple of ROWS


@dataclass(frozen=True)
class Layout:
    """How the kernels' weights are gathered from all parameters in a row, in one go."""

    # C of the views; features, hidden, inner, outputs; whether views are told from the front (DA)
    widths: tuple[int, int, int, int, int, int]
    order: np.ndarray  # [weights] see _cut
    transposed: np.ndarray  # the three layers' weights once more, [O, I] by rows

    @classmethod
    def of(cls, views: Sequence[Tensor], layers: Sequence[Tensor], aware: bool) -> Layout:
        """From the place of each number: the bias [C] of reduced maps and the weights of both
        scores [2 C], then weight [O, I] and bias [O] of three layers; the first reads 2 C of the
        views. Views that are not told from the front have one score [C], and zeros after it."""
        sizes = len(views[0]), layers[0].shape[1], *(len(bias) for bias in layers[1::2])
        widths = *sizes, int(aware)
        by_inputs = [x.t().flatten() for x in layers]  # of a bias this is itself
        return cls(
            widths,
            torch.cat([*views, *by_inputs]).numpy(),
            torch.cat([weight.flatten() for weight in layers[0::2]]).numpy(),
        )


@njit(cache=True, error_model="numpy")
def _cut(weights, widths):
    """Bias and scores of the views, then weight [I, O], flat, and bias of three layers."""
    C, F, W, W3, outputs, _ = widths
    views = weights[:C], weights[C : 3 * C], weights[3 * C : 5 * C]
    a = 5 * C
    b = a + F * W
    c = b + W
    d = c + W * W3
    e = d + W3
    f = e + W3 * outputs
    return views, (
        weights[a:b],
        weights[b:c],
        weights[c:d],
        weights[d:e],
        weights[e:f],
        weights[f:],
    )


@njit(cache=True, error_model="numpy")
def _layers(features, layers, widths, hidden, inner, out, first, last):
    """The network from the features of the points [first, last) to their offsets."""
    weight1, bias1, weight2, bias2, weight3, bias3 = layers
    _, width, W, W3, outputs, _ = widths
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
    part, inside, spaces, lines, maps, grid, visible, weights, widths, kept, out
):  # fmt: skip
    """See forward."""
    (bias, score_others, score_pair), layers = _cut(weights, widths)
    all_samples, all_shares, all_fused, all_features, all_hidden, all_inner = kept
    K, V, h, w, C = maps.shape
    N, width = len(inside) // 3, widths[1]
    rows = all_features.shape[1] // width // PARTS
    first, last = part * rows, min(part * rows + rows, N)
    for level in range(len(spaces)):
        S, channels = spaces[level].shape[2:]
        planes.read(
            inside, spaces[level].reshape(-1), lines[level].reshape(-1), S, channels,
            all_features.reshape(-1), width, level * channels, first, last,
        )  # fmt: skip
    for k in range(K):
        samples, features = all_samples[k], all_features[k]
        if V:
            shares, fused = all_shares[k].reshape(-1, V), all_fused[k]
            own = maps[k].reshape(-1)
            tssf.sample(own, h, w, C, V, grid, visible, bias, samples, first, last)
            if widths[5]:
                tssf.merge(
                    samples, C, V, visible, score_others, score_pair, shares, fused, features,
                    width, width - 2 * C, first, last,
                )  # fmt: skip
            else:
                tssf.mix(
                    samples, C, V, visible, score_others, shares, features, width, width - 2 * C,
                    first, last,
                )  # fmt: skip
        _layers(
            features, layers, widths, all_hidden[k], all_inner[k], out[k], first,
            part * rows + rows,
        )  # fmt: skip


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def forward(
    inside,  # flat [N, 3], places in the cube that the planes cover, from -1 to 1
    spaces,  # per level [3, S, S, C]
    lines,  # per level [K, 3 S C]
    maps,  # [K, V, h, w, C]; no views, V = 0, have no features
    grid,  # [V, N, 2]
    visible,  # [V, N]
    weights,  # see _cut
    widths,
    kept,  # written, each [K, ..]: samples, shares, fused (see fusion), features, hidden, inner
    out,  # [K, rows O], written
    workers,  # number of threads
):
    for worker in prange(workers):
        for part in range(worker, PARTS, workers):
            _forward_part(
                part, inside, spaces, lines, maps, grid, visible, weights, widths, kept, out
            )


@njit(cache=True, error_model="numpy")
def _layers_backward(
    features, hidden, inner, transposed, widths, v_out, v_features, v_layers, first, last
):  # fmt: skip
    """Gradients of `_layers`: v_features is written, the layers' are added to."""
    v_weight1, v_bias1, v_weight2, v_bias2, v_weight3, v_bias3 = v_layers
    _, width, W, W3, outputs, _ = widths
    first_end = width * W
    second_end = first_end + W * W3
    v_hidden, v_inner = np.empty(BLOCK * W, np.float32), np.empty(BLOCK * W3, np.float32)
    for row in range(first, last, BLOCK):
        end = min(row + BLOCK, last)
        x, h = features[row * width : end * width], hidden[row * W : end * W]
        i, v = inner[row * W3 : end * W3], v_out[row * outputs : end * outputs]
        v_i, v_h = v_inner[: (end - row) * W3], v_hidden[: (end - row) * W]
        linear_backward(i, transposed[second_end:], v, v_i, v_weight3, v_bias3)
        relu_backward(i, v_i)
        linear_backward(h, transposed[first_end:second_end], v_i, v_h, v_weight2, v_bias2)
        relu_backward(h, v_h)
        v_x = v_features[row * width : end * width]
        linear_backward(x, transposed[:first_end], v_h, v_x, v_weight1, v_bias1)


@njit(cache=True, error_model="numpy")
def _backward_part(
    part, N, maps, visible, weights, transposed, widths, kept, v_out, v_kept, v_weights
):  # fmt: skip
    """Up to the gradients of features and samples, for one part of the Gaussians."""
    (_, score_others, score_pair), _ = _cut(weights, widths)
    (v_bias, v_others, v_pair), v_layers = _cut(v_weights[part], widths)
    all_samples, all_shares, all_fused, all_features, all_hidden, all_inner = kept
    K, V, _, _, C = maps.shape
    width = widths[1]
    rows = all_features.shape[1] // width // PARTS
    first, last = part * rows, min(part * rows + rows, N)
    for k in range(K):
        samples, features = all_samples[k], all_features[k]
        v_features, v_samples = v_kept[0][k], v_kept[1][k]
        _layers_backward(
            features, all_hidden[k], all_inner[k], transposed, widths, v_out[k], v_features,
            v_layers, first, part * rows + rows,
        )  # fmt: skip
        if not V:
            continue
        shares = all_shares[k].reshape(-1, V)
        if widths[5]:
            tssf.merge_backward(
                samples, C, V, visible, score_others, score_pair, shares, all_fused[k],
                v_features, width, width - 2 * C, v_samples, v_bias, v_others, v_pair, first, last,
            )  # fmt: skip
        else:
            tssf.mix_backward(
                samples, C, V, visible, score_others, shares, features, v_features, width,
                width - 2 * C, v_samples, v_bias, v_others, first, last,
            )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _scatter(
    task, inside, spaces, lines, maps, grid, visible, width, v_kept, v_spaces, v_lines, v_maps
):  # fmt: skip
    """From there to one level's planes, or to one view's map at one moment."""
    v_features, v_samples = v_kept
    K, V, h, w, C = maps.shape
    if task < len(spaces):
        S, channels = spaces[task].shape[2:]
        planes.read_backward(
            inside, spaces[task].reshape(-1), lines[task].reshape(-1), S, channels,
            v_features.reshape(-1), width, task * channels, len(inside) // 3,
            v_spaces[task].reshape(-1), v_lines[task].reshape(-1),
        )  # fmt: skip
    else:
        k, view = (task - len(spaces)) // V, (task - len(spaces)) % V
        own = v_maps[k].reshape(-1)
        tssf.sample_backward(v_samples[k], h, w, C, V, grid, visible, view, own)


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def backward(
    inside, spaces, lines, maps, grid, visible, weights,  # as in forward
    transposed,  # weight [O, I], flat, of three layers
    widths,
    kept,
    v_out,  # [K, rows O], zeros beyond N
    v_kept,  # of features and samples, [K, ..], written
    v_weights,  # [parts, weights], added to, and so are the rest
    v_spaces,
    v_lines,
    v_maps,
    workers,
):  # fmt: skip
    for worker in prange(workers):
        for part in range(worker, PARTS, workers):
            _backward_part(
                part, len(inside) // 3, maps, visible, weights, transposed, widths, kept, v_out,
                v_kept, v_weights,
            )  # fmt: skip
    for worker in prange(workers):
        for task in range(worker, len(v_spaces) + maps.shape[0] * maps.shape[1], workers):
            _scatter(
                task, inside, spaces, lines, maps, grid, visible, widths[1], v_kept,
                v_spaces, v_lines, v_maps,
            )  # fmt: skip


def deform(
    means: Tensor,  # [N, 3]
    hexplane: HexPlane,
    rows: Sequence[float],  # [K] places of the moments along the planes over time
    reduced: Tensor,  # [K, V, h, w, C]
    lookup: Lookup,
    parameters: Tensor,  # all others in a row
    layout: Layout,  # how to read them
) -> Tensor:  # [K, N, O]
    """Features of planes and views, side by side, through three layers with ReLU between them."""
    return _Deform.apply(
        (rows, layout), hexplane.inside(means), lookup.grid, lookup.visible, reduced, parameters,
        *hexplane.space, *hexplane.time,
    )  # fmt: skip


class _Deform(torch.autograd.Function):
    @staticmethod
    def forward(ctx, settings, inside, grid, visible, reduced, parameters, *all_planes):
        moments, layout = settings
        levels = len(all_planes) // 2
        K, N, V, C = len(moments), len(inside), *reduced.shape[1::3]
        rows = -(-N // (PARTS * ROWS)) * PARTS * ROWS
        spaces = tuple(_last(plane) for plane in all_planes[:levels])
        times = [_last(plane) for plane in all_planes[levels:]]
        lines = tuple(_lines(time, moments) for time in times)
        weights = parameters.detach().numpy()
        features, hidden, inner, out = (
            np.empty((K, rows * width), np.float32) for width in layout.widths[1:5]
        )
        features[:, N * layout.widths[1] :] = 0
        samples, shares, fused = (
            np.empty((K, N * width), np.float32) for width in (V * C, V, 2 * C)
        )
        ctx.inputs = (
            _array(inside).reshape(-1), spaces, lines, _array(reduced), _array(grid),
            _array(visible), weights[layout.order],
        )  # fmt: skip
        ctx.kept = samples, shares, fused, features, hidden, inner
        forward(*ctx.inputs, layout.widths, ctx.kept, out, get_num_threads())
        ctx.layout, ctx.transposed, ctx.count = layout, weights[layout.transposed], len(weights)
        ctx.moments, ctx.times = moments, [time.shape for time in times]
        return torch.from_numpy(out.reshape(K, rows, -1)[:, :N])

    @staticmethod
    @once_differentiable
    def backward(ctx, v_out):
        layout, (_, spaces, lines, maps, _, _, weights) = ctx.layout, ctx.inputs
        samples, _, _, features, _, _ = ctx.kept
        K, N, outputs = v_out.shape
        v_last = _zeros(K, features.shape[1] // layout.widths[1] * outputs)
        v_last[:, : N * outputs] = v_out.reshape(K, -1).numpy()
        v_kept = np.empty_like(features), np.empty_like(samples)
        v_weights, v_maps = _zeros(PARTS, len(weights)), _zeros(*maps.shape)
        v_spaces = tuple(_zeros(*space.shape) for space in spaces)
        v_lines = tuple(_zeros(*line.shape) for line in lines)
        backward(
            *ctx.inputs, ctx.transposed, layout.widths, ctx.kept, v_last, v_kept, v_weights,
            v_spaces, v_lines, v_maps, get_num_threads(),
        )  # fmt: skip
        v_times = [_zeros(*shape) for shape in ctx.times]
        for v_line, v_time in zip(v_lines, v_times, strict=True):
            for v_moment, at in zip(v_line, ctx.moments, strict=True):
                planes.lines_backward(v_moment, at, *v_time.shape[2:], v_time.reshape(-1))
        v_parameters = _zeros(ctx.count)
        v_parameters[layout.order] = v_weights.sum(0)
        ctx.inputs = ctx.kept = None
        planar = (torch.from_numpy(x).permute(0, 3, 1, 2) for x in (*v_spaces, *v_times))
        found = torch.from_numpy(v_maps), torch.from_numpy(v_parameters), *planar
        return None, None, None, None, *found


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _lines(time: np.ndarray, moments: Sequence[float]) -> np.ndarray:
    """Planes over time [3, rows, S, C] at some rows, [K, 3 S C]."""
    S, C = time.shape[2:]
    lines = np.empty((len(moments), 3 * S * C), np.float32)
    for at, line in zip(moments, lines, strict=True):
        planes.lines_at(time.reshape(-1), at, S, C, line)
    return lines


def _last(planes: Tensor) -> np.ndarray:
    """Planes [3, C, h, w] as [3, h, w, C]: no copy where the channels lie last in memory."""
    return _array(planes.permute(0, 2, 3, 1))


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)
