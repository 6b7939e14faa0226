"""The input next to the render from the same side: pictures, a video, and how close they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import imageio.v3 as iio
import numpy as np

from ..clip.video import write_video
from ..config import VideoConfig
from ..evaluation import metrics
from ..images import over
from ..run.events import Event, Stage
from ..run.workspace import Workspace
from .turntable import CAMERAS_AT_ONCE, frame_count, render_views

if TYPE_CHECKING:
    from ..fourd.asset import Asset


def run(
    asset: Asset,
    frames: np.ndarray,  # [T, S, S, 4] uint8, the cut-out input frames
    workspace: Workspace,
    config: VideoConfig,
    rasterizer: str = "auto",
) -> Stage[dict[str, Any]]:
    """Write videos/compare.mp4 (input left, render right) and, of the middle frame,
    previews/compare_input.png and compare_render.png; returns how close all frames are (`score`).

    previews/poster.png is the first frame's render alone, as the player begins.
    """
    yield Event("videos", message="comparing with the input")
    size, middle = config.size, len(frames) // 2
    own = yield from _front(asset, frames.shape[1], rasterizer)
    large = own if size == frames.shape[1] else (yield from _front(asset, size, rasterizer))
    left, right = _resized(over(frames), size), over(large)

    for name, picture in (("input", left[middle]), ("render", right[middle])):
        with workspace.replacing(f"previews/compare_{name}.png") as path:
            iio.imwrite(path, picture)
    with workspace.replacing("previews/poster.png") as path:
        iio.imwrite(path, large[0])
    # As long as the other videos; each frame is seen while it is the nearest in time.
    moments = np.linspace(0, 1, frame_count(config))
    nearest = np.abs(moments[:, None] - asset.positions.numpy()).argmin(1)
    with workspace.replacing("videos/compare.mp4") as path:
        write_video(path, (np.hstack([left[n], right[n]]) for n in nearest), config.fps)
    return score(own, frames)


def score(
    renders: np.ndarray,  # [T, S, S, 4] uint8
    frames: np.ndarray,  # [T, S, S, 4] uint8
) -> dict[str, Any]:
    """How close renders are to the input, over white: means over the frames and each frame.

    "front_psnr" and "front_psnr_object" in dB, over the picture and within 5 pixels of the object,
    "front_iou" of the silhouettes; "front_frames" holds [psnr, psnr_object, iou] of each frame.
    """
    rows = []
    for render, frame in zip(renders, frames, strict=True):
        (made, made_mask), (truth, truth_mask) = metrics.on_white(render), metrics.on_white(frame)
        rows.append(
            [
                metrics.psnr(made, truth),
                metrics.psnr_fg(made, truth, made_mask, truth_mask),
                metrics.mask_iou(made_mask, truth_mask),
            ]
        )
    names = ("front_psnr", "front_psnr_object", "front_iou")
    means = zip(names, np.mean(rows, 0).round(3).tolist(), strict=True)
    return {**dict(means), "front_frames": np.round(rows, 3).tolist()}


def _front(asset: Asset, size: int, rasterizer: str) -> Stage[np.ndarray]:
    """The asset from the input's camera at each training frame, [T, size, size, 4] uint8."""
    positions = asset.positions.tolist()
    front = asset.cameras.resized(size, size)
    pictures = []
    for start in range(0, len(positions), CAMERAS_AT_ONCE):
        some = positions[start : start + CAMERAS_AT_ONCE]
        pictures.append(render_views(asset, front[[0] * len(some)], some, rasterizer))
        yield Event("videos")
    return np.concatenate(pictures)


def _resized(
    pictures: np.ndarray,  # [T, S, S, 3] uint8
    size: int,
) -> np.ndarray:
    smaller = size < pictures.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.stack([cv2.resize(picture, (size, size), interpolation=way) for picture in pictures])
