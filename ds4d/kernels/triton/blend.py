"""Kernels that blend the Gaussians of each tile, near to far, and their exact gradients.

One program draws one tile, with few warps and several pixels per thread: a Gaussian is loaded once
for many pixels, and sums over the pixels need few exchanges between threads.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .. import constants
from .projection import MIN_ALPHA
from .tiles import CHANNELS, load_shape

LARGEST = tl.constexpr(constants.MAX_ALPHA)
OPAQUE = tl.constexpr(constants.MIN_TRANSMITTANCE)
LEAST = tl.constexpr(constants.MIN_WEIGHT)
NEVER = tl.constexpr(2**30)
CHUNK = tl.constexpr(32)  # Gaussians between two checks whether all pixels are finished


@triton.jit
def _pixels(width, height, C, tiles_x, tiles_y, TILE_X: tl.constexpr, TILE_Y: tl.constexpr):
    """A program's tile and its camera and corner; its pixels: x and y, whether inside, and index.

    The rows of tiles go from the middle outwards: objects are there, and the programs that start
    last should be short.
    """
    rank, rest = tl.program_id(0) // (C * tiles_x), tl.program_id(0) % (C * tiles_x)
    row = tiles_y // 2 + tl.where(rank % 2 == 0, rank // 2, -(rank + 1) // 2)
    camera, column = rest // tiles_x, rest % tiles_x
    left, top = column * TILE_X, row * TILE_Y
    i = tl.arange(0, TILE_X * TILE_Y)
    x, y = i % TILE_X, i // TILE_X
    inside = (left + x < width) & (top + y < height)
    index = (camera * height + top + y) * width + left + x
    tile = (camera * tiles_y + row) * tiles_x + column
    return tile, camera, left, top, x + 0.5, y + 0.5, inside, index


@triton.jit
def _range(edges, total, tile, capacity, gaussians):
    """Begin and end of a tile's list, and whether the lists did not fit.

    Then every tile walks the list behind them, of all Gaussians: slow, but just as right.
    """
    crowded = tl.load(total) > capacity
    begin = tl.where(crowded, capacity, tl.load(edges + tile))
    end = tl.where(crowded, capacity + gaussians, tl.load(edges + tile + 1))
    return begin, end, crowded


@triton.jit
def _evaluate(
    records, listed, i, present, camera, N, crowded, x, y, left, top, channels: tl.constexpr
):  # fmt: skip
    """Evaluate a listed Gaussian at a tile's pixels: row, p, q, logarithm of alpha, channels."""
    g = tl.load(listed + i, present, 0)
    color = tl.load(records + g * (CHANNELS + channels) + CHANNELS + tl.arange(0, channels))
    u, v, xx, xy, yy, log_opacity = load_shape(records, g, channels, True)
    u, v = u - left, v - top
    p, q = xx * x + (xy * y - (xx * u + xy * v)), yy * y - yy * v
    own = (g >= camera * N) & (g < camera * N + N)
    log_opacity = tl.where(present & (own | (not crowded)), log_opacity, float("-inf"))
    return g, p, q, log_opacity - p * p - q * q, color


@triton.jit
def _draw(seen, k, before, stop, planes):
    """Blend the k-th Gaussian of a tile into its pixels' transmittance, stop and channels."""
    _, _, _, exponent, color = seen
    alpha = tl.minimum(tl.exp2(exponent), LARGEST)
    after = before - alpha * before
    drawn = (alpha >= MIN_ALPHA) & (stop == NEVER)
    stop = tl.where(drawn & (after <= OPAQUE), k, stop)
    weight = tl.where(drawn & (after > OPAQUE), alpha * before, 0.0)
    return before - weight, stop, planes + color[:, None] * weight[None, :]


@triton.jit(do_not_specialize=["capacity", "gaussians", "N", "C", "tiles_x", "tiles_y"])
def blend(
    records,  # [C * N, CHANNELS + channels]
    listed,  # [capacity + C * N] int32, rows of the records: by tile, then all, each by depth
    edges,  # [C * tiles + 1] int32, where each tile's part of the list begins
    total,  # int32, length of the list, had it room
    backgrounds,  # [C, D]
    colors,  # [C, H, W, D], written
    alphas,  # [C, H, W], written
    depths,  # [C, H, W], written
    through,  # [C, H, W], written: transmittance
    stops,  # [C, H, W] int32, written: place in the tile's list that finished the pixel
    capacity,
    gaussians,  # C * N
    N,
    width,
    height,
    C,
    tiles_x,
    tiles_y,
    D: tl.constexpr,
    channels: tl.constexpr,
    TILE_X: tl.constexpr,
    TILE_Y: tl.constexpr,
):
    tile, camera, left, top, x, y, inside, index = _pixels(
        width, height, C, tiles_x, tiles_y, TILE_X, TILE_Y
    )
    begin, end, crowded = _range(edges, total, tile, capacity, gaussians)
    channel = tl.arange(0, channels)
    planes = tl.zeros([channels, TILE_X * TILE_Y], tl.float32)
    before = tl.full([TILE_X * TILE_Y], 1.0, tl.float32)
    stop = tl.where(inside, NEVER, 0)
    i = begin
    while i < end:
        last = tl.minimum(i + CHUNK, end)
        while i < last:
            # Two are loaded before the first is drawn: half as many waits for memory.
            one = _evaluate(
                records, listed, i, True, camera, N, crowded, x, y, left, top, channels
            )  # fmt: skip
            two = _evaluate(
                records, listed, i + 1, i + 1 < end, camera, N, crowded, x, y, left, top, channels
            )
            before, stop, planes = _draw(one, i - begin, before, stop, planes)
            before, stop, planes = _draw(two, i + 1 - begin, before, stop, planes)
            i += 2
        i = tl.where(tl.max(stop, 0) == NEVER, i, end)

    alpha = 1 - before
    tl.store(through + index, before, inside)
    tl.store(stops + index, stop, inside)
    tl.store(alphas + index, alpha, inside)
    background = tl.load(backgrounds + camera * D + channel, channel < D, 0.0)
    shown = planes + background[:, None] * before[None, :]
    cells = index[None, :] * D + channel[:, None]
    tl.store(colors + cells, shown, inside[None, :] & (channel < D)[:, None])
    depth = tl.sum(tl.where((channel == D)[:, None], planes, 0.0), 0)
    tl.store(depths + index, depth / tl.maximum(alpha, LEAST), inside)


@triton.jit
def _row(s, p, q, weight, planes, D: tl.constexpr, channels: tl.constexpr, COLUMNS: tl.constexpr):
    """The sums over pixels of s, s p, s q, s p^2, s p q, s q^2, then those of weight * plane.

    Planes are taken apart: Triton would send a vector of sums through shared memory. All channels
    of a pixel are in one thread, so the sum picks one of them; to add -0 to it costs nothing.
    """
    s_p, s_q = s * p, s * q
    column = tl.arange(0, COLUMNS)
    row = tl.where(column == 0, tl.sum(s, 0), 0.0)
    row = tl.where(column == 1, tl.sum(s_p, 0), row)
    row = tl.where(column == 2, tl.sum(s_q, 0), row)
    row = tl.where(column == 3, tl.sum(s_p * p, 0), row)
    row = tl.where(column == 4, tl.sum(s_p * q, 0), row)
    row = tl.where(column == 5, tl.sum(s_q * q, 0), row)
    channel, nothing = tl.arange(0, channels)[:, None], tl.zeros_like(planes) * -1.0
    for d in tl.static_range(D + 1):
        plane = tl.sum(tl.where(channel == d, planes, nothing), 0)
        row = tl.where(column == CHANNELS + d, tl.sum(weight * plane, 0), row)
    return row


@triton.jit(do_not_specialize=["capacity", "gaussians", "N", "C", "tiles_x", "tiles_y"])
def blend_backward(
    records,  # as in blend
    listed,
    edges,
    total,
    places,  # [capacity] int64, rows of the gradients
    backgrounds,
    depths,  # [C, H, W], and so on: what blend wrote
    through,
    stops,
    v_colors,  # [C, H, W, D]
    v_alphas,  # [C, H, W]
    v_depths,  # [C, H, W]
    gradients,  # [capacity, CHANNELS + channels], written
    totals,  # [C * N, CHANNELS + channels], zeros; written when the lists did not fit
    capacity,
    gaussians,
    N,
    width,
    height,
    C,
    tiles_x,
    tiles_y,
    D: tl.constexpr,
    channels: tl.constexpr,
    TILE_X: tl.constexpr,
    TILE_Y: tl.constexpr,
    COLUMNS: tl.constexpr,  # of a row, rounded up to a power of two
):
    """Take the Gaussians of a tile away, far to near, and write the gradient of each.

    A row holds the moments of s, the gradient in the logarithm of alpha, then the gradients in the
    channels. `behind` is the derivative of the loss in the light that passes the Gaussian;
    `gain` is the same for an opaque Gaussian, less `behind`.
    """
    tile, camera, left, top, x, y, inside, index = _pixels(
        width, height, C, tiles_x, tiles_y, TILE_X, TILE_Y
    )
    begin, end, crowded = _range(edges, total, tile, capacity, gaussians)
    channel, column = tl.arange(0, channels), tl.arange(0, COLUMNS)
    columns: tl.constexpr = CHANNELS + channels
    transmitted = tl.load(through + index, inside, 1.0)
    stop = tl.load(stops + index, inside, 0)
    v_depth = tl.load(v_depths + index, inside, 0.0) / tl.maximum(1 - transmitted, LEAST)
    # Channel by channel: the layout of one wide load would spread the channels over threads.
    planes = tl.zeros([channels, TILE_X * TILE_Y], tl.float32)
    for d in tl.static_range(D):
        plane = tl.load(v_colors + index * D + d, inside, 0.0)
        planes = tl.where((channel == d)[:, None], plane[None, :], planes)
    background = tl.load(backgrounds + camera * D + channel, channel < D, 0.0)
    behind = tl.sum(planes * background[:, None], 0)
    behind += v_depth * tl.load(depths + index, inside, 0.0)
    behind -= tl.load(v_alphas + index, inside, 0.0)
    planes = tl.where((channel == D)[:, None], v_depth[None, :], planes)

    drawn_end = tl.minimum(begin + tl.max(stop, 0), end)  # behind it no Gaussian was drawn
    nothing = tl.zeros([COLUMNS], tl.float32)
    i = drawn_end
    while (i < end) & (not crowded):
        place = tl.load(places + i).to(tl.int32)
        tl.store(gradients + place * columns + column, nothing, column < columns)
        i += 1

    i = drawn_end
    while i > begin:  # one at a time: two at once are slower, unlike in blend
        i -= 1
        seen = _evaluate(
            records, listed, i, True, camera, N, crowded, x, y, left, top, channels
        )  # fmt: skip
        _, p, q, exponent, color = seen
        raw = tl.exp2(exponent)
        alpha = tl.minimum(raw, LARGEST)
        alpha = tl.where((alpha >= MIN_ALPHA) & (i - begin < stop), alpha, 0.0)
        root = tl.rsqrt(1 - alpha)  # one instruction, as a quotient is not
        transmitted *= root * root
        weight = alpha * transmitted
        gain = tl.sum(planes * color[:, None], 0) - behind
        behind += alpha * gain
        s = tl.where(raw <= LARGEST, weight * gain, 0.0)
        row = _row(s, p, q, weight, planes, D, channels, COLUMNS)
        if crowded:
            cells = totals + seen[0] * columns + column
            tl.atomic_add(cells, row, column < columns, sem="relaxed")
        else:
            cells = gradients + tl.load(places + i).to(tl.int32) * columns + column
            tl.store(cells, row, column < columns)
