"""The GPU backend: splatting with Triton's kernels, all cameras at once, never waiting for the GPU.

The number of intersections of Gaussians and tiles is known to the GPU alone. Reading it makes the
host wait, so it is read when a shape is drawn for the first time; later the lists keep their room,
the number follows in an asynchronous copy, and the room grows when the copy of an earlier step
says so. Where a step outgrows its room, its tiles walk all Gaussians: slow once, but never wrong.
So a step can be captured in a CUDA graph, once the same shape has been drawn before.

Apart from such a step every sum has a fixed order: the same result on every run.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from ..kernels.triton.blend import blend, blend_backward
from ..kernels.triton.projection import project
from ..kernels.triton.projection_backward import project_backward
from ..kernels.triton.tiles import CHANNELS, gather, write_tiles
from .inputs import Inputs

TILE_X, TILE_Y = 8, 8  # pixels
WARPS = 1  # of a tile's program: sums over its pixels then need no barrier
HEADROOM = 1.3  # room for intersections over their last known number
STEP = 1 << 14  # the room is a multiple of this: sizes that recur are cheap to allocate


@dataclass
class Room:
    """Capacity of the lists of intersections for images of one shape."""

    gaussians: int
    capacity: int
    count: Tensor  # [1] int32, pinned: the last known number
    known: torch.cuda.Event | None = None  # when it is
    captured: bool = False  # in a CUDA graph, which keeps its capacity

    def roomy(self) -> bool:
        """True if a tenth more would still find room."""
        return 1 + int(self.count) * 1.1 <= self.capacity


@dataclass(frozen=True)
class Trace:
    """Results of the forward pass that the backward pass needs."""

    records: Tensor  # [C * N, CHANNELS + channels] projected Gaussians
    order: Tensor  # [C * N] int64, by depth
    starts: Tensor  # [C * N + 1] int32, of their intersections in that order
    places: Tensor  # [capacity] int64, of the tiles' lists in those of the Gaussians
    listed: Tensor  # [capacity + C * N] int32, by tile, then all
    edges: Tensor  # [C * tiles + 1] int32
    depths: Tensor  # [C, H, W]
    through: Tensor  # [C, H, W] transmittance
    stops: Tensor  # [C, H, W] int32


_rooms: dict[tuple, Room] = {}


def forward(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor, Trace]:
    """Render colours [C, H, W, D], alphas and expected depths [C, H, W]; last, the trace."""
    *parameters, backgrounds, viewmats, Ks, width, height, antialiased = inputs
    C, N, D = inputs.sizes
    channels, means = _channels(D), inputs.means
    tensors = [x.contiguous() for x in (*parameters, viewmats, Ks)]
    records = means.new_empty(C * N, CHANNELS.value + channels)
    depths, counts = means.new_empty(C * N), means.new_empty(C * N, dtype=torch.int32)
    project[(triton.cdiv(N, 64), C)](
        *tensors, records, depths, counts, N, *map(_camera_stride, tensors[:5]), width, height,
        antialiased, D, channels, TILE_X, TILE_Y, BLOCK=64, num_warps=2,
    )  # fmt: skip
    lists = _list_tiles(records, depths, counts, C, N, width, height, channels)

    rendered = means.new_empty(C, height, width, D)
    alphas, image_depths, through = means.new_empty(3, C, height, width)
    stops = means.new_empty(C, height, width, dtype=torch.int32)
    # Not the returned tensor itself: it will hold the step's graph, which holds the trace.
    trace = Trace(records, *lists, image_depths.detach(), through, stops)
    blend[(len(trace.edges) - 1,)](
        records, trace.listed, trace.edges, trace.starts[-1:], backgrounds.contiguous(),
        rendered, alphas, image_depths, through, stops, *_sizes(trace, C, N, width, height),
        D, channels, TILE_X, TILE_Y, num_warps=WARPS,
    )  # fmt: skip
    return rendered, alphas, image_depths, trace


def backward(
    inputs: Inputs,
    trace: Trace,
    v_colors: Tensor,  # [C, H, W, D] gradient of the loss in the colours
    v_alphas: Tensor,  # [C, H, W]
    v_depths: Tensor,  # [C, H, W]
) -> tuple[Tensor, ...]:
    """Gradients of the first six inputs, shaped as these."""
    means, quats, scales, opacities, colors, _, backgrounds, viewmats, Ks = inputs[:9]
    width, height, antialiased = inputs[9:]
    C, N, D = inputs.sizes
    channels = _channels(D)
    columns = trace.records.shape[1]
    gradients = means.new_empty(len(trace.places), columns)
    totals = torch.zeros_like(trace.records)
    images = [x.contiguous() for x in (v_colors, v_alphas, v_depths)]
    blend_backward[(len(trace.edges) - 1,)](
        trace.records, trace.listed, trace.edges, trace.starts[-1:], trace.places,
        backgrounds.contiguous(), trace.depths, trace.through, trace.stops, *images,
        gradients, totals, *_sizes(trace, C, N, width, height),
        D, channels, TILE_X, TILE_Y, triton.next_power_of_2(columns), num_warps=WARPS,
    )  # fmt: skip
    gather[(triton.cdiv(C * N, 4),)](
        trace.order, trace.starts, gradients, totals, C * N, len(gradients), columns,
        GAUSSIANS=4, PLACES=8, COLUMNS=triton.next_power_of_2(columns), num_warps=1,
    )  # fmt: skip
    tensors = [x.contiguous() for x in (means, quats, scales, opacities, viewmats, Ks)]
    shares, v_offsets = means.new_empty(C, N * (11 + D)), means.new_empty(C, N, 2)
    project_backward[(triton.cdiv(N, 64), C)](
        *tensors, trace.records, totals, shares, v_offsets, N, *map(_camera_stride, tensors[:4]),
        width, height, antialiased, D, channels, BLOCK=64, num_warps=2,
    )  # fmt: skip
    arguments = (means, quats, scales, opacities, colors)
    sums = shares.sum(0, keepdim=True) if any(len(x) < C for x in arguments) else shares
    results, first = [], 0
    for x in arguments:
        last = first + x[0].numel()
        share = (sums if len(x) < C else shares)[:, first:last]
        results.append(share.view(x.shape))
        first = last
    return *results, v_offsets


def crowded() -> bool:
    """True if a captured CUDA graph has hardly any room left, as far as is known without waiting.

    Without room it stays right but becomes slow. Draw the shape once, which makes room, then
    capture it again.
    """
    return any(room.captured and not room.roomy() for room in _rooms.values())


def _channels(D: int) -> int:
    """Colours and depth, rounded up to a power of two."""
    return max(4, triton.next_power_of_2(D + 1))


def _camera_stride(x: Tensor) -> int:
    """Numbers from one camera's Gaussians to the next's."""
    return x.stride(0) if len(x) > 1 else 0


def _sizes(trace: Trace, C: int, N: int, width: int, height: int) -> tuple[int, ...]:
    tiles_x, tiles_y = triton.cdiv(width, TILE_X), triton.cdiv(height, TILE_Y)
    return len(trace.places), C * N, N, width, height, C, tiles_x, tiles_y


def _list_tiles(
    records: Tensor,  # [C * N, CHANNELS + channels]
    depths: Tensor,  # [C * N]
    counts: Tensor,  # [C * N]
    C: int,
    N: int,
    width: int,
    height: int,
    channels: int,
) -> tuple[Tensor, ...]:
    """order, starts, places, listed and edges of the trace."""
    tiles_x, tiles_y = triton.cdiv(width, TILE_X), triton.cdiv(height, TILE_Y)
    tiles = C * tiles_x * tiles_y
    order = depths.sort(stable=True).indices
    starts = counts.new_zeros(C * N + 1)
    torch.cumsum(counts[order], 0, dtype=torch.int32, out=starts[1:])
    capacity = _capacity((C, width, height), N, starts[-1:])
    # Few bits make the sort short. The number after the last tile marks room that is not used.
    dtype = torch.int16 if tiles < 2**15 else torch.int32
    keys = torch.full((capacity,), tiles, dtype=dtype, device=records.device)
    owners = records.new_empty(capacity, dtype=torch.int32)
    listed = records.new_empty(capacity + C * N, dtype=torch.int32)
    write_tiles[(triton.cdiv(C * N, 32),)](
        records, order, starts, keys, owners, listed, C * N, N, capacity, width, height,
        tiles_x, tiles_y, channels, TILE_X, TILE_Y, BLOCK=32, num_warps=1,
    )  # fmt: skip
    keys, places = keys.sort(stable=True)
    torch.index_select(owners, 0, places, out=listed[:capacity])
    numbers = torch.arange(tiles + 1, dtype=dtype, device=records.device)
    edges = torch.searchsorted(keys, numbers, out_int32=True)
    return order, starts, places, listed, edges


def _capacity(shape: tuple[int, int, int], N: int, total: Tensor) -> int:
    """Capacity of the lists of this step; starts the copy of the number that it needs."""
    if total.device.type == "cpu":  # Triton's interpreter
        return int(total)
    key = total.device, *shape
    room, capturing = _rooms.get(key), torch.cuda.is_current_stream_capturing()
    if capturing and (room is None or room.gaussians != N):
        raise RuntimeError("draw the same shape once before it is captured in a CUDA graph")
    if room is None or room.gaussians != N:
        room = _rooms[key] = Room(N, 0, total.cpu().pin_memory())
    elif not capturing and room.known is not None and not room.known.query():
        return room.capacity
    needed = int(room.count)
    if not capturing and not (room.roomy() and room.capacity <= needed * 4 + STEP):
        room.capacity = triton.cdiv(int(needed * HEADROOM) + 1, STEP) * STEP
    room.captured = capturing
    room.count.copy_(total, non_blocking=True)
    if not capturing:
        room.known = torch.cuda.Event()
        room.known.record()
    return room.capacity
