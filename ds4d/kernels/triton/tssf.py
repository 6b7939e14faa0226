"""TSSF's distance-aware fusion and its gradient with Triton: sample the views' maps and merge them.

A Gaussian's samples [V, C] are never written: one pass over the views merges them, with a softmax
whose sum is rescaled on the way, and the backward pass samples them again.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..padding import cut_blocks, pad_blocks

BLOCK, WARPS = 8, 4  # Gaussians of a program and warps that share them
LEAST = tl.constexpr(-1e30)  # below any score


@triton.jit
def _corners(grid, h, w):
    """The first of the four patches around places in [-1, 1], and the weights of all four.

    Bilinear between the centres of patches, zeros beyond the map.
    """
    x = (tl.load(grid) + 1) * 0.5 * w - 0.5
    y = (tl.load(grid + 1) + 1) * 0.5 * h - 0.5
    column = tl.minimum(tl.maximum(tl.floor(x), 0.0), w - 2.0)
    row = tl.minimum(tl.maximum(tl.floor(y), 0.0), h - 2.0)
    x, y = (x - column)[:, None], (y - row)[:, None]
    left, right = tl.maximum(1 - tl.abs(x), 0.0), tl.maximum(1 - tl.abs(x - 1), 0.0)
    above, below = tl.maximum(1 - tl.abs(y), 0.0), tl.maximum(1 - tl.abs(y - 1), 0.0)
    patch = row.to(tl.int32) * w + column.to(tl.int32)
    return patch[:, None], left * above, right * above, left * below, right * below


@triton.jit
def _sample(maps, bias, grid, visible, k, view, n, N, V, h, w, C: tl.constexpr):
    """Sample a view at the Gaussians n, zero where it does not see them.

    Also returns whether it sees them, the first patch in the maps, and the patches' weights.
    """
    n = view * N + n
    seen = tl.load(visible + n) > 0
    patch, one, two, three, four = _corners(grid + 2 * n, h, w)
    at = ((k * V + view) * h * w + patch) * C + tl.arange(0, C)[None, :]
    inside = seen[:, None]
    sample = tl.load(maps + at, inside, 0.0) * one + tl.load(maps + at + C, inside, 0.0) * two
    below = maps + at + w * C
    sample += tl.load(below, inside, 0.0) * three + tl.load(below + C, inside, 0.0) * four
    sample = tl.where(inside, sample + bias, 0.0)
    return sample, seen, at, one, two, three, four


@triton.jit
def _scatter(v_maps, at, one, two, three, four, w, v, seen, C: tl.constexpr):
    """Add the gradient of a sample to the four patches."""
    tl.atomic_add(v_maps + at, v * one, seen, sem="relaxed")
    tl.atomic_add(v_maps + at + C, v * two, seen, sem="relaxed")
    below = v_maps + at + w * C
    tl.atomic_add(below, v * three, seen, sem="relaxed")
    tl.atomic_add(below + C, v * four, seen, sem="relaxed")


@triton.jit
def _halves(weights, C: tl.constexpr):
    """Weights of a score for features and for distances, [1, C] each."""
    weights += tl.arange(0, C)[None, :]
    return tl.load(weights), tl.load(weights + C)


@triton.jit(do_not_specialize=["N"])
def fuse_forward(
    maps,  # [K, V, h, w, C]
    bias,  # [C]
    score_others,  # [2 C], for features and for their distances to the front view's
    score_pair,  # [2 C]
    grid,  # [V, N, 2]
    visible,  # [V, N]
    fused,  # [K, N, 2 C], written: the others' merged feature and distance
    logs,  # [K, N], written: logarithm of the sum of their exponents
    shares,  # [K, N], written: weight of the front view
    out,  # [K, N, 2 C], written
    N,
    h,
    w,
    V: tl.constexpr,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
):
    n, k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1)
    inside = n < N
    at = k * N + n
    n = tl.minimum(n, N - 1)
    bias = tl.load(bias + tl.arange(0, C))[None, :]
    of_feature, of_distance = _halves(score_others, C)
    front, front_seen, _, _, _, _, _ = _sample(maps, bias, grid, visible, k, 0, n, N, V, h, w, C)
    largest, total = tl.full([BLOCK], LEAST, tl.float32), tl.zeros([BLOCK], tl.float32)
    feature, distance = tl.zeros([BLOCK, C], tl.float32), tl.zeros([BLOCK, C], tl.float32)
    for view in range(1, V):
        other, seen, _, _, _, _, _ = _sample(
            maps, bias, grid, visible, k, view, n, N, V, h, w, C
        )  # fmt: skip
        apart = tl.abs(other - front)
        score = tl.sum(other * of_feature + apart * of_distance, 1)
        top = tl.maximum(largest, tl.where(seen, score, LEAST))
        keep, gain = tl.exp(largest - top), tl.exp(tl.where(seen, score - top, LEAST))
        feature = feature * keep[:, None] + other * gain[:, None]
        distance = distance * keep[:, None] + apart * gain[:, None]
        total, largest = total * keep + gain, top
    any_seen = total > 0
    total = tl.where(any_seen, total, 1.0)
    feature, distance = feature / total[:, None], distance / total[:, None]
    of_feature, of_distance = _halves(score_pair, C)
    behind = tl.sum((feature - front) * of_feature + distance * of_distance, 1)
    share = tl.where(any_seen, 1 / (1 + tl.exp(behind)), 1.0)
    share = tl.where(front_seen, share, 0.0)
    tl.store(logs + at, largest + tl.log(total), inside)
    tl.store(shares + at, share, inside)
    row, inside = at[:, None] * 2 * C + tl.arange(0, C)[None, :], inside[:, None]
    tl.store(fused + row, feature, inside)
    tl.store(fused + row + C, distance, inside)
    share = share[:, None]
    tl.store(out + row, share * front + (1 - share) * feature, inside)
    tl.store(out + row + C, (1 - share) * distance, inside)


@triton.jit(do_not_specialize=["N"])
def fuse_backward(
    maps,  # as in fuse_forward
    bias,
    score_others,
    score_pair,
    grid,
    visible,
    fused,
    logs,
    shares,
    v_out,  # [K, N, 2 C]
    v_maps,  # [K, V, h, w, C], added to
    v_weights,  # [programs, 5 C], written: of the bias and of both scores
    N,
    h,
    w,
    V: tl.constexpr,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
):
    n, k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1)
    inside = n < N
    n = tl.minimum(n, N - 1)
    at, channel = k * N + n, tl.arange(0, C)
    bias = tl.load(bias + channel)[None, :]
    front, front_seen, front_at, f1, f2, f3, f4 = _sample(
        maps, bias, grid, visible, k, 0, n, N, V, h, w, C
    )
    row = at[:, None] * 2 * C + channel[None, :]
    feature, distance = tl.load(fused + row), tl.load(fused + row + C)
    # Beyond the last Gaussian gradients are zero: so is all that they lead to.
    v_mixed = tl.load(v_out + row, inside[:, None], 0.0)
    v_far = tl.load(v_out + row + C, inside[:, None], 0.0)

    # The pair: turn is the gradient of the fused views' score, and the front's is its opposite.
    of_feature, of_distance = _halves(score_pair, C)
    share = tl.load(shares + at)
    turn = tl.sum(v_mixed * (feature - front) + v_far * distance, 1) * share * (1 - share)
    turn = tl.where(front_seen, turn, 0.0)[:, None]
    share = share[:, None]
    v_feature = v_mixed * (1 - share) + turn * of_feature
    v_distance = v_far * (1 - share) + turn * of_distance
    v_front = v_mixed * share - turn * of_feature
    first = v_weights + (k * tl.num_programs(0) + tl.program_id(0)) * 5 * C + channel
    tl.store(first + 3 * C, tl.sum(turn * (feature - front), 0))
    tl.store(first + 4 * C, tl.sum(turn * distance, 0))

    # The others.
    mean = tl.sum(feature * v_feature + distance * v_distance, 1)
    log = tl.load(logs + at)
    of_feature, of_distance = _halves(score_others, C)
    v_bias, v_of_feature = tl.zeros([BLOCK, C], tl.float32), tl.zeros([BLOCK, C], tl.float32)
    v_of_distance = tl.zeros([BLOCK, C], tl.float32)
    for view in range(1, V):
        other, seen, place, w1, w2, w3, w4 = _sample(
            maps, bias, grid, visible, k, view, n, N, V, h, w, C
        )
        apart = tl.abs(other - front)
        score = tl.sum(other * of_feature + apart * of_distance, 1)
        weight = tl.exp(tl.where(seen, score - log, LEAST))
        v_score = weight * (tl.sum(other * v_feature + apart * v_distance, 1) - mean)
        weight, v_score = weight[:, None], v_score[:, None]
        v_apart = weight * v_distance + v_score * of_distance
        v_apart = tl.where(other > front, v_apart, tl.where(other < front, -v_apart, 0.0))
        v_other = weight * v_feature + v_score * of_feature + v_apart
        v_front -= v_apart
        v_bias += v_other
        v_of_feature += v_score * other
        v_of_distance += v_score * apart
        _scatter(v_maps, place, w1, w2, w3, w4, w, v_other, (seen & inside)[:, None], C)
    v_front = tl.where(front_seen[:, None], v_front, 0.0)
    _scatter(v_maps, front_at, f1, f2, f3, f4, w, v_front, (front_seen & inside)[:, None], C)
    tl.store(first, tl.sum(v_bias + v_front, 0))
    tl.store(first + C, tl.sum(v_of_feature, 0))
    tl.store(first + 2 * C, tl.sum(v_of_distance, 0))


def fuse(
    reduced: Tensor,  # [K, V, h, w, C] maps without the bias; h, w >= 2
    bias: Tensor,  # [C]
    score_others: Tensor,  # [2 C] weights for features and for their distances to the front's
    score_pair: Tensor,  # [2 C]
    grid: Tensor,  # [V, N, 2] see Lookup; gets no gradient
    visible: Tensor,  # [V, N]; gets no gradient
) -> Tensor:  # [K, N, 2 C]
    """Fused features of K moments, as TSSF.forward computes them for "da".

    The biases of both scores are left out: they shift all scores of a softmax. Widths that are no
    power of two are padded with zeros.
    """
    C = len(bias)
    inputs = [
        pad_blocks(tensor, [C] * (tensor.shape[-1] // C), triton.next_power_of_2)
        for tensor in (reduced, bias, score_others, score_pair)
    ]
    fused = _Fuse.apply(*(tensor.contiguous() for tensor in (*inputs, grid, visible)))
    return cut_blocks(fused, len(inputs[1]), C)


class _Fuse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *inputs):
        K, V, h, w, C = inputs[0].shape
        N = inputs[-1].shape[1]
        fused, out = (inputs[0].new_empty(K, N, 2 * C) for _ in range(2))
        logs, shares = (inputs[0].new_empty(K, N) for _ in range(2))
        fuse_forward[(triton.cdiv(N, BLOCK), K)](
            *inputs, fused, logs, shares, out, N, h, w, V, C, BLOCK,
            num_warps=WARPS,
        )  # fmt: skip
        ctx.save_for_backward(*inputs, fused, logs, shares)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, v_out):
        maps, visible = ctx.saved_tensors[0], ctx.saved_tensors[5]
        K, V, h, w, C = maps.shape
        N = visible.shape[1]
        blocks = triton.cdiv(N, BLOCK)
        v_maps, v_weights = torch.zeros_like(maps), maps.new_empty(K * blocks, 5 * C)
        fuse_backward[(blocks, K)](
            *ctx.saved_tensors, v_out.contiguous(), v_maps, v_weights, N, h, w, V, C, BLOCK,
            num_warps=WARPS,
        )  # fmt: skip
        v_bias, v_others, v_pair = v_weights.sum(0).split([C, 2 * C, 2 * C])
        return v_maps, v_bias, v_others, v_pair, None, None
