"""The engine l4gm: Gaussians of every frame, rendered from the six cameras of Zero123++.

All views of a frame show one object, and the frames of a window know of each other, so that the
views agree in space and in time. Never run here with the published weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...cameras import Cameras, concatenate, orbit_cameras, rig_cameras
from ...clip import resized
from ...config import MachineConfig, MultiviewConfig
from ...errors import UserError
from ...images import over, tile
from ...run.device import network_dtype, pick, release
from ...run.events import Event, Stage, nested
from ...splatting.splats import Splats
from ...weights import CATALOGUE, fetch
from ..views import Views
from .confidence import confidences
from .frames import RADIUS, SIZE, as_images, half_width, l4gm_cameras, reframed, silhouette
from .gaussians import cut_halo
from .network import load
from .reconstruct import BETWEEN, LOW_WINDOW, WINDOW, in_between, reconstruct
from .render import render_rgba
from .scores import scores_of
from .sides import Sides

RECON, INTERP = "l4gm-recon", "l4gm-interp"  # in the catalogue
POOR_PSNR, POOR_IOU = 15.0, 0.8  # of the reconstructed front, below which it is not the object

# Draws the side views of the first of the frames [T, S, S, 4], whose front camera is given.
DrawSides = Callable[[np.ndarray, Cameras], Stage[Sides]]


def weights(config: MultiviewConfig) -> tuple[str, ...]:
    """The weights that the engine needs, by their names in the catalogue."""
    return (RECON, INTERP) if config.between else (RECON,)


def window(machine: MachineConfig) -> int:
    """Frames that the network sees at a time."""
    return LOW_WINDOW if machine.low_memory else WINDOW


def run(
    frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
    size: int,  # side of the views, pixels
    *,
    config: MultiviewConfig,
    machine: MachineConfig,
    front: Cameras,  # one camera, level, at azimuth 0, which looks at the origin
    draw_sides: DrawSides,
    sampled: int,  # frames of the clip, before others were put between them
) -> Stage[Views]:
    """The front view and renders of the six views of every frame.

    L4GM takes the front for a picture of its own camera, which stands nearer than ours. The front
    camera of the result is that one, so that the front agrees with what is reconstructed from it.

    The last event's metrics hold PSNR (dB) and IoU of the reconstructed front. No network stays in
    memory.

    Returns:
        Views with images [T, 7, size, size, 4], how much each shows of what the front view saw, and
        the middle frame's Gaussians.

    Raises:
        UserError: weights are missing or wrong, or the interpolation network does not fit the clip.
    """
    keys = _keyframes(len(frames), sampled) if config.between else range(len(frames))
    total = 1 + 2 * len(frames)  # the sides, then Gaussians and views of each frame
    width = half_width(front)
    drawing = draw_sides(frames, front_camera(width, frames.shape[1]))
    sides = yield from nested(drawing, Event("multiview", 0, total, "side views"), share=1)
    fed = np.stack([reframed(frame, width) for frame in frames])
    try:
        splats = yield from _gaussians(fed, sides, keys, config, machine, total)
    finally:
        release()
    cameras = concatenate([front_camera(width, size), rig_cameras(size)[range(1, 7)]])
    images = np.empty((len(frames), 7, size, size, 4), np.uint8)
    confidence, scores = np.ones(images.shape[:2], np.float32), []
    for index, frame in enumerate(frames):
        inside = silhouette(frame, width)
        splats[index] = cut_halo(splats[index], inside)
        images[index, 0] = frame if len(frame) == size else resized(frame, size)
        images[index, 1:] = render_rgba(splats[index], cameras[range(1, 7)], machine.rasterizer)
        confidence[index, 1:] = confidences(splats[index], cameras, machine.rasterizer)
        scores.append(agreement(splats[index], fed[index], inside, machine.rasterizer))
        preview = tile(over(images[index, 1:]), columns=3)
        step = 2 + len(frames) + index
        yield Event("multiview", step, total, f"views of frame {index + 1}", preview)
    yield _report(scores, total)
    middle = splats[len(splats) // 2].to("cpu")
    return Views(images, cameras, confidence=confidence, splats=middle)


def front_camera(width: float, size: int) -> Cameras:
    """L4GM's front camera for a picture that ends `width` world units beside the origin."""
    fov = 2 * math.degrees(math.atan(width / RADIUS))
    return orbit_cameras([0.0], size=size, radius=RADIUS, fov_deg=fov)


def agreement(
    splats: Splats,
    fed: np.ndarray,  # [256, 256, 3] uint8, the picture that they were reconstructed from
    inside: np.ndarray,  # [256, 256] bool, the object in it
    rasterizer: str = "auto",
) -> tuple[float, float]:
    """PSNR, dB, and IoU of the front render with the picture."""
    image = render_rgba(splats, l4gm_cameras([0.0], SIZE), rasterizer)[0]
    return scores_of(image, fed, inside)


def _report(scores: Sequence[tuple[float, float]], total: int) -> Event:
    """The last event: means of PSNR and IoU of all frames."""
    psnr, iou = np.mean(scores, 0).tolist()
    poor = psnr < POOR_PSNR or iou < POOR_IOU
    message = f"the reconstructed front has {psnr:.1f} dB and an IoU of {iou:.2f} with the frames"
    message += ", which is poor: the views may show another object" if poor else ""
    metrics = {"front_psnr": psnr, "front_iou": iou}
    return Event("multiview", total, total, message, metrics=metrics, warning=poor)


def _gaussians(
    fed: np.ndarray,  # [T, 256, 256, 3] uint8
    sides: Sides,
    keys: range,  # frames that are reconstructed; those between them are interpolated
    config: MultiviewConfig,
    machine: MachineConfig,
    total: int,
) -> Stage[list[Splats]]:
    """Gaussians of T frames."""
    device, rasterizer = pick(machine.device), machine.rasterizer
    event = Event("multiview", 1, total)
    yield Event("multiview", 1, total, "loading L4GM")
    files = [fetch(name, machine.weights) / CATALOGUE[name].files[0] for name in weights(config)]
    fronts, first = (as_images(x).to(device) for x in (fed[list(keys)], sides.images))
    network = load(files[0], device, network_dtype(device))
    splats = yield from reconstruct(
        network, fronts, first, sides.azimuths, window(machine), event, rasterizer
    )
    if len(keys) == len(fed):
        return splats
    del network
    release()
    yield Event("multiview", 1 + len(keys), total, "loading L4GM's interpolation network")
    network = load(files[1], device, network_dtype(device))
    event = Event("multiview", 1 + len(keys), total)
    return (yield from in_between(network, fronts, splats, event, rasterizer))


def _keyframes(frames: int, sampled: int) -> range:
    """Frames of the clip itself, among which there are two more between each two.

    Raises:
        UserError: there are not, so that the interpolation network has nothing to do.
    """
    if frames == 1 or frames != BETWEEN * (sampled - 1) + 1:
        raise UserError(
            "L4GM's interpolation network makes two frames between each two of the clip.",
            f"Ask for them by --clip.interpolate {BETWEEN}, or leave it out.",
        )
    return range(0, frames, BETWEEN)
