"""The CPU backend: splatting with numba's kernels on all cores, the same result on every run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numba import get_num_threads
from torch import Tensor

from ..kernels.numba.blend import blend
from ..kernels.numba.blend_backward import blend_backward
from ..kernels.numba.pixels import GROUP, PIXELS
from ..kernels.numba.projection import CHANNELS, project, project_backward
from ..kernels.numba.tiles import TILE_X, TILE_Y, list_tiles
from .inputs import Inputs


@dataclass(frozen=True)
class Trace:
    """Results of the forward pass that the backward pass needs."""

    records: np.ndarray  # [C * N, CHANNELS + channels] projected Gaussians
    tile_starts: np.ndarray  # [C * tiles + 1]
    gaussians: np.ndarray  # [intersections] by tile
    bounds: np.ndarray  # [intersections, 4] pixel rows and columns in the tile
    starts: np.ndarray  # [C * N + 1]
    places: np.ndarray  # [intersections] in the listing by Gaussian
    ends: np.ndarray  # [C * tiles, 2, PIXELS]
    depths: np.ndarray  # [C, H, W]


def forward(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor, Trace]:
    """Render colours [C, H, W, D], alphas and expected depths [C, H, W]; last, the trace."""
    means, quats, scales, opacities, colors, offsets, backgrounds, viewmats, Ks = inputs[:9]
    width, height, antialiased = inputs[9:]
    C, N, D = inputs.sizes
    channels = -(-(D + 1) // GROUP) * GROUP  # the colours, the depth, and zeros
    tiles_x, tiles_y = -(-width // TILE_X), -(-height // TILE_Y)
    records = np.zeros((C * N, CHANNELS + channels), np.float32)
    ellipses = np.empty((C * N, 10), np.float32)
    keys = np.empty(C * N, np.float32)
    project(
        *_arrays(means, quats, scales, opacities, colors, viewmats, Ks, offsets),
        width, height, antialiased, records, ellipses, keys, get_num_threads(),
    )  # fmt: skip
    tile_starts, gaussians, bounds, starts, places = list_tiles(
        ellipses, keys.view(np.uint32), C, tiles_x, tiles_y
    )
    rendered = np.empty((C, height, width, D), np.float32)
    alphas = np.empty((C, height, width), np.float32)
    depths = np.empty((C, height, width), np.float32)
    ends = np.empty((C * tiles_x * tiles_y, 2, PIXELS), np.float32)
    blend(
        records, tile_starts, gaussians, bounds, *_arrays(backgrounds),
        rendered, alphas, depths, ends, get_num_threads(),
    )  # fmt: skip
    trace = Trace(records, tile_starts, gaussians, bounds, starts, places, ends, depths)
    outputs = (torch.from_numpy(array) for array in (rendered, alphas, depths))
    return *outputs, trace


def backward(
    inputs: Inputs,
    trace: Trace,
    v_colors: Tensor,  # [C, H, W, D] gradient of the loss in the colours
    v_alphas: Tensor,  # [C, H, W]
    v_depths: Tensor,  # [C, H, W]
) -> tuple[Tensor, ...]:
    """Gradients of the first six inputs, shaped as these."""
    *parameters, backgrounds, viewmats, Ks, width, height, antialiased = inputs
    gradients = np.empty((len(trace.places), trace.records.shape[1]), np.float32)
    blend_backward(
        trace.records, trace.tile_starts, trace.gaussians, trace.bounds, trace.places,
        *_arrays(backgrounds), trace.depths, trace.ends, *_arrays(v_colors, v_alphas, v_depths),
        gradients, get_num_threads(),
    )  # fmt: skip
    arrays = _arrays(*parameters)
    results = [np.zeros_like(array) for array in arrays]
    project_backward(
        *arrays[:4], *_arrays(viewmats, Ks), width, height, antialiased,
        trace.records, trace.starts, gradients, *results, get_num_threads(),
    )  # fmt: skip
    return tuple(torch.from_numpy(array) for array in results)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    """The tensors' own memory (or a contiguous copy): few types keep the kernels few."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
