"""Packed 4D file: all frames of an asset in a few megabytes, ordered for streaming.

docs/packed_format.md specifies the bytes. The first frame can be displayed as soon as its block has
arrived; every later block adds one frame.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..cameras import Cameras
from ..clip.square_path import Travel, recorded
from ..errors import UserError
from ..fourd.asset import Asset
from ..fourd.gaussians import LONGEST_GLIDE
from ..splatting.splats import Splats
from ..viewer import write_html
from .context import ExportContext

NAME, PAGE = "exports/object.ds4d", "exports/player.html"
MAGIC = b"DS4D"
VERSION = 2
MEAN_LEVELS = 2**14 - 1  # quantisation steps along the longest side of the bounding box
SCALE_LEVELS = 255  # quantisation steps of log scales, from smallest to largest
SMALLEST_SCALE = 1e-4  # world units: a twentieth of a pixel where the object spans 512 pixels
QUAT_LEVELS = 127  # quantisation steps of each component, from 0 to 1
NEAREST_TARGET = 0.25  # world units in front of a camera
# Per Gaussian and frame: 3 x 2 for the mean, 4 for the rotation, 3 for scales; since version 2
# also 3 for the colour.
FRAME_BYTES = {1: 13, 2: 16}


@dataclass(frozen=True)
class Packed:
    """Dequantised content of a packed file."""

    frames: list[Splats]  # T, of N Gaussians each
    positions: list[float]  # [T] position of each frame in the clip, from 0 to 1
    seconds: float  # duration of the clip
    camera: dict[str, Any]  # the input camera, see input_camera


def write(context: ExportContext) -> Iterator[str]:
    """Write exports/object.ds4d, and exports/player.html, which plays it without a server."""
    travel = recorded(context.workspace, len(context.times))
    packed = pack(context.asset, context.seconds, travel)
    with context.workspace.replacing(NAME) as path:
        path.write_bytes(packed)
    yield NAME
    source = Path(context.workspace.record.get("source", "object")).stem
    with context.workspace.replacing(PAGE) as path:
        write_html(path, packed, f"{source} in 4D")
    yield PAGE


def pack(
    asset: Asset,
    seconds: float,  # duration of the animation
    travel: Travel | None = None,  # of the square that followed the object
) -> bytes:
    """Encode the asset at its training frames as a packed 4D file."""
    positions = asset.positions.tolist()
    frames = [asset.splats(position) for position in positions]
    means = np.stack([_array(frame.means) for frame in frames])  # [T, N, 3]
    log_scales = np.stack(
        [_array(frame.scales.clamp(min=SMALLEST_SCALE).log()) for frame in frames]
    )  # [T, N, 3]
    quats = np.stack([_array(frame.quats) for frame in frames])  # [T, N, 4]
    colors = np.stack([_levels(frame.colors) for frame in frames])  # [T, N, 3]
    origin = means.min((0, 1))
    step = max(float((means.max((0, 1)) - origin).max()) / MEAN_LEVELS, 1e-9)
    smallest = math.log(SMALLEST_SCALE)
    scale_step = max((float(log_scales.max()) - smallest) / SCALE_LEVELS, 1e-9)

    appearance = np.concatenate([colors[0], _levels(frames[0].opacities[:, None])], 1)
    blocks = [zlib.compress(appearance.T.astype(np.uint8).tobytes())]
    blocks += _frame_blocks(
        np.round((means - origin) / step).astype(np.int32),
        np.round(quats * QUAT_LEVELS).astype(np.int32),
        np.round((log_scales - smallest) / scale_step).astype(np.int32),
        colors,
    )
    header = {
        "gaussians": means.shape[1],
        "positions": positions,
        "seconds": seconds,
        "means": {"origin": origin.tolist(), "step": step},
        "log_scales": {"origin": smallest, "step": scale_step},
        "longest_glide": LONGEST_GLIDE,
        "antialiased": frames[0].antialiased,
        "camera": input_camera(asset.cameras),
        "blocks": [len(block) for block in blocks],
    }
    if travel is not None:
        side = travel.squares[0, 2]
        header["clip_frame"] = {
            "width": travel.width / side, "height": travel.height / side,
            "centres": travel.middles().round(5).tolist(),
        }  # fmt: skip
    text = json.dumps(header, separators=(",", ":")).encode()
    start = MAGIC + np.array([VERSION, len(text)], "<u4").tobytes()
    return b"".join([start, text, *blocks])


def unpack(data: bytes) -> Packed:
    """Decode a packed file.

    Raises:
        UserError: not a packed 4D file of a known version, or truncated.
    """
    version, header, blocks = _parse(data)
    N, T, width = header["gaussians"], len(header["positions"]), FRAME_BYTES[version]
    appearance = _inflate(blocks[0], 4 * N).reshape(4, N).T.astype(np.int32)
    colors, opacities = appearance[:, :3], _share(appearance[:, 3])
    means, quats, log_scales = (np.zeros((N, width), np.int32) for width in (3, 4, 3))
    frames = []
    for block in blocks[1 : T + 1]:
        planes = _inflate(block, width * N).reshape(width, N).astype(np.int32)
        means = means + _unzigzag(planes[:3] * 256 + planes[3:6]).T
        quats = _signed(quats + _unzigzag(planes[6:10]).T)
        log_scales = (log_scales + _unzigzag(planes[10:13]).T) & 255
        if version > 1:
            colors = (colors + _unzigzag(planes[13:]).T) & 255
        frames.append(
            Splats(
                torch.from_numpy(_scaled(means, header["means"])),
                torch.nn.functional.normalize(torch.from_numpy(quats.astype(np.float32)), dim=-1),
                torch.from_numpy(np.exp(_scaled(log_scales, header["log_scales"]))),
                opacities,
                _share(colors),
                header["antialiased"],
            )
        )
    return Packed(frames, header["positions"], header["seconds"], header["camera"])


def input_camera(cameras: Cameras) -> dict[str, Any]:
    """Azimuth, elevation and field of view (degrees) of the first camera, its target [x, y, z] and
    its distance from the target (radius).

    The target is the point on the optical axis closest to the origin; for an object it is the
    origin itself. +Z is up: the roll of a captured camera is not represented.
    """
    centre, forward = cameras.centres()[0], cameras.viewmats[0, 2, :3]
    radius = max(-float(centre @ forward), NEAREST_TARGET)
    x, y, z = (-forward).tolist()
    focal = float(cameras.Ks[0, [0, 1], [0, 1]].max())  # of a capture: along the shorter side
    target = centre + radius * forward
    return {
        "azimuth": round(math.degrees(math.atan2(x, -y)), 4) + 0.0,  # not -0.0
        "elevation": round(math.degrees(math.asin(min(max(z, -1.0), 1.0))), 4) + 0.0,
        "radius": radius,
        "target": [round(value, 5) + 0.0 for value in target.tolist()],
        "fov": 2 * math.degrees(math.atan(cameras.height / 2 / focal)),
    }


def _frame_blocks(
    means: np.ndarray,  # [T, N, 3] int32
    quats: np.ndarray,  # [T, N, 4] int32
    log_scales: np.ndarray,  # [T, N, 3] int32
    colors: np.ndarray,  # [T, N, 3] int32
) -> list[bytes]:
    """Compressed differences of each frame from the previous one; the first one's from zero, but
    those of its colours from themselves, because the appearance holds them."""
    blocks = []
    previous = [*(np.zeros_like(array[0]) for array in (means, quats, log_scales)), colors[0]]
    for current in zip(means, quats, log_scales, colors, strict=True):
        moved, *others = (a - b for a, b in zip(current, previous, strict=True))
        moved = _zigzag(moved).T
        planes = [moved >> 8, moved & 255, *(_zigzag(_signed(other)).T for other in others)]
        blocks.append(zlib.compress(np.concatenate(planes).astype(np.uint8).tobytes()))
        previous = current
    return blocks


def _zigzag(numbers: np.ndarray) -> np.ndarray:
    """Map 0, -1, 1, -2, ... to 0, 1, 2, 3, ..., so that small differences have a zero high byte."""
    return (numbers << 1) ^ (numbers >> 31)


def _unzigzag(numbers: np.ndarray) -> np.ndarray:
    return (numbers >> 1) ^ -(numbers & 1)


def _signed(numbers: np.ndarray) -> np.ndarray:
    """Wrap to [-128, 127], keeping the low byte."""
    return ((numbers + 128) & 255) - 128


def _scaled(levels: np.ndarray, scale: dict[str, Any]) -> np.ndarray:
    return (np.array(scale["origin"]) + levels * scale["step"]).astype(np.float32)


def _levels(tensor: torch.Tensor) -> np.ndarray:
    """Numbers in [0, 1] as int32 in [0, 255]."""
    return np.round(_array(tensor) * 255).astype(np.int32)


def _share(levels: np.ndarray) -> torch.Tensor:
    """Integers in [0, 255] as numbers in [0, 1]."""
    return torch.from_numpy(levels.astype(np.float32) / 255)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _parse(data: bytes) -> tuple[int, dict[str, Any], list[bytes]]:
    """Version, header and compressed blocks."""
    version, length = np.frombuffer(data[4:12].ljust(8, b"\0"), "<u4").tolist()
    if data[:4] != MAGIC or version not in FRAME_BYTES:
        raise UserError("This is not a packed 4D file of a known version.", "Export it again.")
    try:
        header = json.loads(data[12 : 12 + length])
    except ValueError as error:
        raise _truncated() from error
    blocks, start = [], 12 + length
    for size in header["blocks"]:
        blocks.append(data[start : start + size])
        start += size
    if start > len(data):
        raise _truncated()
    return version, header, blocks


def _inflate(block: bytes, size: int) -> np.ndarray:
    try:
        numbers = np.frombuffer(zlib.decompress(block), np.uint8)
    except zlib.error as error:
        raise _truncated() from error
    if len(numbers) != size:
        raise _truncated()
    return numbers


def _truncated() -> UserError:
    return UserError("The packed 4D file is damaged or truncated.", "Export or download it again.")
