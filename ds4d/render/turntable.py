"""Turntable videos of a 4D asset, and RGBA renders of it for evaluation and previews.

orbit    the camera circles the object once while time plays from the first frame to the last
bullet   time is frozen at the clip's middle frame while the camera circles the object once
front    a still camera at azimuth 0 (the input view); time plays
back     the same at azimuth 180
left     the same at azimuth -90: the side on the left of the front view
right    the same at azimuth +90: the side on the right of the front view

Both circles start at the front and move to the right. Time runs forward once in every video.

A multi-camera capture is shown from its own cameras (camera_path.py): orbit and bullet pass all of
them and return; front is the first camera, left and right the outermost, back the farthest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..cameras import Cameras, concatenate, orbit_cameras
from ..clip.video import write_video
from ..config import VideoConfig
from ..errors import UserError
from ..fourd.asset import Asset
from ..run.events import Event, Stage
from ..run.workspace import Workspace
from ..splatting.splats import Splats, render
from . import STILL_AZIMUTHS, VIDEOS, camera_path

TURN_ELEVATION = 10.0  # degrees; slightly from above, to convey depth
CAMERAS_AT_ONCE = 6  # renders between two events


def run(
    asset: Asset, workspace: Workspace, config: VideoConfig, rasterizer: str = "auto"
) -> Stage[dict[str, Path]]:
    """Render videos/NAME.mp4 on white for every name in VIDEOS; returns their paths.

    Raises UserError for an odd size, which H.264 does not support, or a video without frames.
    """
    count = frame_count(config)
    turn, still = _cameras(asset, config.size, count)
    shape = (count, turn.height, turn.width, 3)
    videos = {name: np.empty(shape, np.uint8) for name in VIDEOS}
    bullet_starts = range(0, count, CAMERAS_AT_ONCE)
    total = count + len(bullet_starts) + len(VIDEOS)
    step = 0

    # The videos in which time plays share their moments: the deformation is evaluated once each.
    for frame, position in enumerate(np.linspace(0, 1, count)):
        splats, cameras = asset.splats(float(position)), concatenate([turn[frame], still])
        pictures = _on_white(splats, cameras, rasterizer)
        for name, picture in zip(("orbit", *STILL_AZIMUTHS), pictures, strict=True):
            videos[name][frame] = picture
        step += 1
        yield Event("videos", step, total, "rendering the orbit and four sides", pictures[0])

    frozen = asset.splats(float(asset.positions[len(asset.positions) // 2]))
    for start in bullet_starts:
        pictures = _on_white(frozen, turn[start : start + CAMERAS_AT_ONCE], rasterizer)
        videos["bullet"][start : start + CAMERAS_AT_ONCE] = pictures
        step += 1
        yield Event("videos", step, total, "rendering the bullet-time orbit", pictures[-1])

    paths = {}
    for name, frames in videos.items():
        with workspace.replacing(f"videos/{name}.mp4") as path:
            write_video(path, frames, config.fps)
        paths[name] = workspace / f"videos/{name}.mp4"
        step += 1
        yield Event("videos", step, total, f"wrote {name}.mp4", frames[0])
    return paths


def _cameras(asset: Asset, size: int, count: int) -> tuple[Cameras, Cameras]:
    """Cameras of the full circle, and the four still cameras."""
    if asset.capture_to_world is None:
        turn = orbit_cameras(np.arange(count) * 360 / count, TURN_ELEVATION, size=size)
        return turn, orbit_cameras(list(STILL_AZIMUTHS.values()), size=size)
    cameras = camera_path.video_cameras(asset.cameras.to("cpu"), size)
    still = camera_path.still_cameras(cameras)
    return camera_path.tour(cameras, count), cameras[[still[name] for name in STILL_AZIMUTHS]]


def frame_count(config: VideoConfig) -> int:
    """Number of frames of each video. Raises UserError for an invalid size or length."""
    count = round(config.seconds * config.fps)
    if config.size < 2 or config.size % 2 or count < 1:
        raise UserError(
            f"Videos of {config.size} pixels and {count} frames are not possible.",
            "Choose an even size and a length of at least one frame.",
        )
    return count


def shots(asset: Asset, video: str, config: VideoConfig) -> tuple[Cameras, list[float]]:
    """Camera and moment in [0, 1] of each frame of one of VIDEOS."""
    count = frame_count(config)
    turn, still = _cameras(asset, config.size, count)
    if video in STILL_AZIMUTHS:
        cameras = still[[list(STILL_AZIMUTHS).index(video)] * count]
    else:
        cameras = turn
    middle = float(asset.positions[len(asset.positions) // 2])
    return cameras, [middle] * count if video == "bullet" else np.linspace(0, 1, count).tolist()


def render_views(
    asset: Asset,
    cameras: Cameras,  # C cameras
    positions: Sequence[float],  # [C] moment of each camera, in [0, 1]
    rasterizer: str = "auto",
) -> np.ndarray:
    """Render the asset without background: [C, H, W, 4] uint8 RGBA, straight alpha.

    The deformation is evaluated once per distinct moment, so pass cameras of a moment together.
    """
    images = np.empty((len(cameras), cameras.height, cameras.width, 4), np.uint8)
    for position in sorted(set(positions)):
        chosen = [c for c, moment in enumerate(positions) if moment == position]
        images[chosen] = cut_out(asset.splats(position), cameras[chosen], rasterizer)
    return images


def cut_out(splats: Splats, cameras: Cameras, rasterizer: str = "auto") -> np.ndarray:
    """Render Gaussians without background: [C, H, W, 4] uint8 RGBA, straight alpha."""
    colors, alphas, _ = render(splats, cameras, background=0.0, backend=rasterizer)
    colors, alphas = colors.cpu().numpy(), alphas.cpu().numpy()
    straight = colors / np.maximum(alphas, 1e-6)  # rendered over black: premultiplied
    return _to_bytes(np.concatenate([straight, alphas], -1))


def _on_white(splats: Splats, cameras: Cameras, rasterizer: str) -> np.ndarray:
    """Render Gaussians over white, [C, H, W, 3] uint8."""
    colors, _, _ = render(splats, cameras, background=1.0, backend=rasterizer)
    return _to_bytes(colors.cpu().numpy())


def _to_bytes(images: np.ndarray) -> np.ndarray:
    """Convert values in [0, 1] to uint8, clipping."""
    return (images.clip(0, 1) * 255 + 0.5).astype(np.uint8)
