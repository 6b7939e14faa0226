"""Comparison of the input with renders from its camera: images, a side-by-side video, scores."""

from __future__ import annotations

from typing import Any

import cv2
import imageio.v3 as iio
import numpy as np

from ..clip.video import write_video
from ..config import VideoConfig
from ..fourd.asset import Asset
from ..images import over
from ..render.turntable import CAMERAS_AT_ONCE, frame_count, render_views
from ..run.events import Event, Stage
from ..run.workspace import Workspace
from . import metrics


def run(
    asset: Asset,
    frames: np.ndarray,  # [T, S, S, 4] uint8, the cut-out input frames
    workspace: Workspace,
    config: VideoConfig,
    rasterizer: str = "auto",
) -> Stage[dict[str, Any]]:
    """Write videos/compare.mp4 (input left, render right) and, for the middle frame,
    previews/compare_input.png and compare_render.png; returns the scores of all frames (`score`).

    previews/poster.png is the render of the first frame, the player's poster.
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
    # As long as the other videos: each frame is shown while it is the nearest in time.
    moments = np.linspace(0, 1, frame_count(config))
    nearest = np.abs(moments[:, None] - asset.positions.numpy()).argmin(1)
    with workspace.replacing("videos/compare.mp4") as path:
        write_video(path, (np.hstack([left[n], right[n]]) for n in nearest), config.fps)
    return score(own, frames)


def score(
    renders: np.ndarray,  # [T, S, S, 4] uint8
    frames: np.ndarray,  # [T, S, S, 4] uint8
) -> dict[str, Any]:
    """Score renders against the input, on white: means over frames, the worst, and each frame.

    "front_psnr" and "front_psnr_object" in dB (whole image; within 5 pixels of the object),
    "front_iou" of the silhouettes; "front_worst" is the smallest of each, a list in this order, and
    "front_frames" lists the same per frame.
    """
    rows = []
    for render, frame in zip(renders, frames, strict=True):
        color, mask = metrics.on_white(render)
        truth, truth_mask = metrics.on_white(frame)
        rows.append(
            [
                metrics.psnr(color, truth),
                metrics.psnr_fg(color, truth, mask, truth_mask),
                metrics.mask_iou(mask, truth_mask),
            ]
        )
    names = ("front_psnr", "front_psnr_object", "front_iou")
    means = zip(names, np.mean(rows, 0).round(3).tolist(), strict=True)
    worst, frames = np.min(rows, 0), np.round(rows, 3)
    return {**dict(means), "front_worst": worst.round(3).tolist(), "front_frames": frames.tolist()}


def _front(asset: Asset, size: int, rasterizer: str) -> Stage[np.ndarray]:
    """Render the asset from the input camera at each training frame, [T, size, size, 4] uint8."""
    positions = asset.positions.tolist()
    front = asset.cameras.resized(size, size)
    pictures = []
    for start in range(0, len(positions), CAMERAS_AT_ONCE):
        batch = positions[start : start + CAMERAS_AT_ONCE]
        pictures.append(render_views(asset, front[[0] * len(batch)], batch, rasterizer))
        yield Event("videos")
    return np.concatenate(pictures)


def _resized(
    pictures: np.ndarray,  # [T, S, S, 3] uint8
    size: int,
) -> np.ndarray:
    smaller = size < pictures.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.stack([cv2.resize(picture, (size, size), interpolation=way) for picture in pictures])
