"""The Zero123++ engine, v1.2 or v1.1: six views of each frame, cut out, with their cameras.

Every frame is generated as one grid of six views, from the same noise; with an anchor, later frames
attend to the first one. The views are then cut out of their plain background, and for v1.2 the
front camera is fitted to them.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ...cameras import Cameras, concatenate, orbit_cameras
from ...clip import cut_out, resized
from ...config import MachineConfig, MultiviewConfig
from ...errors import UserError
from ...images import over, tile
from ...matting import plain
from ...run.device import release
from ...run.events import Event, Stage
from ...run.parallel import each
from ..given import RIGS
from ..views import Views, join
from .fit_front_camera import fit_front_camera, silhouette_iou
from .generate import generate_views, parse_redraws

POOR_IOU = 0.75  # silhouettes that agree less do not show one object from these sides
RIG = {"v1.2": "case", "v1.1": "STAG4D"}  # of given.RIGS


def run(
    frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
    size: int,  # side of the views, pixels
    *,
    config: MultiviewConfig,
    machine: MachineConfig,
    seed: int,
) -> Stage[Views]:
    """The front view and six generated views around the object in every frame.

    Yields an event after each denoising step, and each frame's six views as a preview; the last
    event's metrics hold the silhouettes' agreement ("iou"). No network stays in memory.

    Raises:
        UserError: weights are missing or wrong, or v1.1 was asked for on white.
    """
    if config.white and config.version != "v1.2":
        raise UserError(
            "The weights that draw on white belong to Zero123++ v1.2.",
            "Take version v1.2, or leave white out.",
        )
    count = len(frames)
    denoising = (count + len(parse_redraws(config.redraw, count))) * config.steps
    total = denoising + 7
    yield Event("multiview", 0, total, f"loading Zero123++ {config.version}")
    try:
        images = yield from generate_views(frames, config, machine, seed, total)
    finally:
        release()
    views = np.empty((count, 6, size, size, 4), np.uint8)
    for view in range(6):
        yield Event("multiview", denoising + view, total, f"cutting out view {view + 1}")
        mattes = plain.mattes(images[:, view])
        views[:, view] = list(each(partial(cut_out, size=size), images[:, view], mattes))
    yield Event("multiview", total - 1, total, "placing the cameras")
    fronts = np.stack([frame if len(frame) == size else resized(frame, size) for frame in frames])
    cameras, iou = place_cameras(fronts[..., 3], views[..., 3], config.version)
    message = f"the views' silhouettes agree with IoU {iou:.2f}"
    if iou < POOR_IOU:
        message += ", which is poor: the views may not show one object"
    preview = tile(over(views[0]), columns=3)
    yield Event("multiview", total, total, message, preview, {"iou": iou}, warning=iou < POOR_IOU)
    return join(fronts, views, cameras)


def place_cameras(
    fronts: np.ndarray,  # [T, S, S] uint8 alphas
    views: np.ndarray,  # [T, 6, S, S] uint8 alphas
    version: str,
) -> tuple[Cameras, float]:
    """The cameras of the front and the six views, and the IoU of their silhouettes.

    v1.2 draws with a field of view of 30 degrees, the object at a size of its own: the front
    camera is fitted. v1.1 follows the frame's framing and states no field of view; STAG4D's is
    taken for all seven, from the distance at which the image is as wide as our unit.
    """
    size = fronts.shape[-1]
    azimuths, elevations, fov = RIGS[RIG[version]]
    radius = 0.5 / math.tan(math.radians(fov / 2))
    nominal = orbit_cameras(azimuths, elevations, size=size, radius=radius, fov_deg=fov)
    if version == "v1.1":
        return nominal, silhouette_iou(fronts, views, nominal)
    fit = fit_front_camera(fronts, views, nominal)
    return concatenate([fit.camera(nominal[0]), nominal[[*range(1, 7)]]]), fit.iou
