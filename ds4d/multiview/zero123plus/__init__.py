"""Six views of each frame by Zero123++, v1.2 or v1.1, on its published weights.

Every frame is drawn as one grid of six views, from the same noise; with an anchor, later frames
look at the first one's attention. The views are then cut out of their plain background, each
view's frames as one clip, and the front camera is fitted to them.
"""

from __future__ import annotations

import math

import numpy as np

from ...cameras import Cameras, concatenate, orbit_cameras
from ...clip import cut_out, resized
from ...config import MachineConfig, MultiviewConfig
from ...errors import UserError
from ...images import over, tile
from ...run.device import release
from ...run.events import Event, Stage, nested
from .. import Matte, Views, join
from ..given import RIGS
from .fit_front_camera import agreement, fit_front
from .generate import draw, redraws

POOR = 0.75  # silhouettes that agree less do not show one object from these sides
RIG = {"v1.2": "case", "v1.1": "STAG4D"}  # of given.RIGS


def run(
    frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
    size: int,  # side of the views, pixels
    *,
    config: MultiviewConfig,
    machine: MachineConfig,
    seed: int,
    matte: Matte,
) -> Stage[Views]:
    """The front view and six views around the object in every frame, drawn by Zero123++.

    Yields an event after each denoising step, and each frame's six views as a preview; the last
    event says how well the views' silhouettes agree. No network stays in memory.

    Raises:
        UserError: weights are missing or wrong, or v1.1 was asked for on white.
    """
    if config.white and config.version != "v1.2":
        raise UserError(
            "The weights that draw on white belong to Zero123++ v1.2.",
            "Take version v1.2, or leave white out.",
        )
    count = len(frames)
    drawn = (count + len(redraws(config.redraw, count))) * config.steps
    total = drawn + 6 * count + 1
    yield Event("multiview", 0, total, f"loading Zero123++ {config.version}")
    try:
        pictures = yield from draw(frames, config, machine, seed, total)
    finally:
        release()
    pseudo = np.empty((count, 6, size, size, 4), np.uint8)
    for view in range(6):
        part = Event("multiview", drawn + view * count, total, f"cutting out view {view + 1}")
        alphas = yield from nested(matte(pictures[:, view]), part, share=count)
        for index, (picture, alpha) in enumerate(zip(pictures[:, view], alphas, strict=True)):
            pseudo[index, view] = cut_out(picture, alpha, size)
    yield Event("multiview", total - 1, total, "placing the cameras")
    fronts = np.stack([frame if len(frame) == size else resized(frame, size) for frame in frames])
    cameras, iou = place_cameras(fronts[..., 3], pseudo[..., 3], config.version)
    words = f"the views' silhouettes agree with IoU {iou:.2f}"
    if iou < POOR:
        words += ", which is poor: the views may not show one object"
    preview = tile(over(pseudo[0]), columns=3)
    yield Event("multiview", total, total, words, preview, {"iou": iou}, warning=iou < POOR)
    return join(fronts, pseudo, cameras)


def place_cameras(
    fronts: np.ndarray,  # [T, S, S] uint8 alphas
    views: np.ndarray,  # [T, 6, S, S] uint8 alphas
    version: str,
) -> tuple[Cameras, float]:
    """The cameras of the front and the six views, and how well the silhouettes agree (IoU).

    v1.2 draws with a field of view of 30 degrees, the object at a size of its own: the front
    camera is fitted. v1.1 follows the frame's framing and states no field of view; STAG4D's is
    taken for all seven, from the distance at which the image is as wide as our unit.
    """
    size = fronts.shape[-1]
    azimuths, elevations, fov = RIGS[RIG[version]]
    radius = 0.5 / math.tan(math.radians(fov / 2))
    nominal = orbit_cameras(azimuths, elevations, size=size, radius=radius, fov_deg=fov)
    if version == "v1.1":
        return nominal, agreement(fronts, views, nominal)
    fit = fit_front(fronts, views, nominal)
    return concatenate([fit.camera(nominal[0]), nominal[[*range(1, 7)]]]), fit.iou
