"""Six views of each frame from its front view, whose depth a published network tells.

The shape prior adds thickness and hidden colours; the solid between the surfaces is drawn as by the
engine `inflate`.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from ...cameras import Cameras
from ...config import MachineConfig
from ...images import tile
from ...run.device import release
from ...run.events import Event, Stage
from ..inflate.engine import views_of
from ..inflate.model import assembled, on_grid, resized
from ..views import Views
from . import networks
from .fit import Relief, surfaces


def run(
    frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
    front: Cameras,  # one camera at S x S, level, at azimuth 0
    size: int,  # side of the views, pixels
    *,
    network: str,  # a key of networks.NETWORKS
    machine: MachineConfig,
    slant: float | None = None,  # degrees, positive: the right side is farther away; None = fit
    depth: float = 1.0,  # factor on the thickness
) -> Stage[Views]:
    """Render the front view and six views around the object, in every frame.

    Yields an event for each frame whose depth was read, with a picture of it, then those of
    `inflate`. No network stays in memory.

    Returns:
        As `inflate.engine.run`.

    Raises:
        UserError: no weights, or they are not the network's.
    """
    small, camera = on_grid(frames, front)
    yield Event("multiview", 0, 2 * len(frames), "loading the depth network")
    try:
        relief = yield from read(frames, small, networks.load(network, machine))
    finally:
        release()
    yield Event("multiview", len(frames), 2 * len(frames), "fitting depth over the clip")
    angle = None if slant is None else math.radians(slant)
    told = surfaces(small, relief, camera.Ks[0].double().numpy(), angle)
    model = assembled(small, told, camera, depth)
    yield Event("multiview", len(frames), 2 * len(frames), model.said)
    return (yield from views_of(model, frames, front, size, before=len(frames)))


def read(
    frames: np.ndarray,  # [T, S, S, 4] uint8
    small: np.ndarray,  # [T, G, G, 4], the same on the grid of the surfaces
    network: networks.Network,
) -> Stage[Relief]:
    """Read the depths of all frames, one by one."""
    depths, normals = [], []
    for index, (frame, own) in enumerate(zip(frames, small, strict=True)):
        reading = network.read(resized(frame, networks.SIZE))
        depth, directions = networks.on_grid(reading, own)
        depths.append(depth)
        normals.append(directions)
        message = f"{network.title}: depth of frame {index + 1}"
        yield Event("multiview", index + 1, 2 * len(frames), message, pictured(depth, own))
    found = None if normals[0] is None else np.stack(normals)
    return Relief(np.stack(depths), found, network.scaled)


def pictured(depth: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The frame and its depth, near is light, side by side over white, [G, 2 G, 3] uint8."""
    inside = frame[..., 3] > 127
    near, far = np.quantile(depth[inside], [0.01, 0.99]) if inside.any() else (0.0, 1.0)
    light = 255 * np.clip(1 - (depth - near) / max(far - near, 1e-9), 0, 1)
    shades = cv2.applyColorMap(light.astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    alpha = frame[..., 3:] / 255
    pair = [part * alpha + 255 * (1 - alpha) for part in (frame[..., :3], shades)]
    return tile(np.stack(pair).astype(np.uint8), columns=2)
