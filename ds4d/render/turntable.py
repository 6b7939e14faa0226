"""Turntable videos of a 4D asset, and the pictures that evaluation and previews take of it.

orbit    the camera goes round once while time plays from the first frame to the last
bullet   time stands still at the clip's middle frame while the camera goes round once
front    the camera stands still at azimuth 0 (where the clip was taken from); time plays
back     the same at azimuth 180
left     the same at azimuth -90: the side of the object that is on the left of the front view
right    the same at azimuth +90: the side that is on the right of the front view

Both turns start at the front and go to the right. Time runs forward once in every video.

A scene of real cameras is shown from where they stood (flight.py): orbit and bullet fly past all
of them and back; front is the first one, left, right and back the outermost and the farthest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..cameras import Cameras, concatenate, orbit_cameras
from ..clip.video import write_video
from ..config import VideoConfig
from ..errors import UserError
from ..run.events import Event, Stage
from ..run.workspace import Workspace
from ..splatting.splats import Splats, render
from . import STILL_AZIMUTHS, VIDEOS, camera_path

if TYPE_CHECKING:
    from ..fourd.asset import Asset

TURN_ELEVATION = 10.0  # degrees; a little from above shows depth and hides no side
CAMERAS_AT_ONCE = 6  # pictures between two events


def run(
    asset: Asset, workspace: Workspace, config: VideoConfig, rasterizer: str = "auto"
) -> Stage[dict[str, Path]]:
    """Draw and write videos/NAME.mp4 on white for every name of VIDEOS; returns their paths.

    Raises UserError for a size that H.264 cannot have, or a video without a frame.
    """
    count = frame_count(config)
    turn, still = _cameras(asset, config.size, count)
    shape = (count, turn.height, turn.width, 3)
    videos = {name: np.empty(shape, np.uint8) for name in VIDEOS}
    bullet_starts = range(0, count, CAMERAS_AT_ONCE)
    total = count + len(bullet_starts) + len(VIDEOS)
    step = 0

    # All videos in which time plays share their moments, so each moment is computed once.
    for frame, position in enumerate(np.linspace(0, 1, count)):
        splats, cameras = asset.splats(float(position)), concatenate([turn[frame], still])
        pictures = _on_white(splats, cameras, rasterizer)
        for name, picture in zip(("orbit", *STILL_AZIMUTHS), pictures, strict=True):
            videos[name][frame] = picture
        step += 1
        yield Event("videos", step, total, "drawing the orbit and four sides", pictures[0])

    frozen = asset.splats(float(asset.positions[len(asset.positions) // 2]))
    for start in bullet_starts:
        pictures = _on_white(frozen, turn[start : start + CAMERAS_AT_ONCE], rasterizer)
        videos["bullet"][start : start + CAMERAS_AT_ONCE] = pictures
        step += 1
        yield Event("videos", step, total, "drawing the bullet-time turn", pictures[-1])

    paths = {}
    for name, frames in videos.items():
        with workspace.replacing(f"videos/{name}.mp4") as path:
            write_video(path, frames, config.fps)
        paths[name] = workspace / f"videos/{name}.mp4"
        step += 1
        yield Event("videos", step, total, f"wrote {name}.mp4", frames[0])
    return paths


def _cameras(asset: Asset, size: int, count: int) -> tuple[Cameras, Cameras]:
    """The cameras of a turn, and the four that stand still."""
    if asset.capture_to_world is None:
        turn = orbit_cameras(np.arange(count) * 360 / count, TURN_ELEVATION, size=size)
        return turn, orbit_cameras(list(STILL_AZIMUTHS.values()), size=size)
    cameras = camera_path.shown(asset.cameras.to("cpu"), size)
    where = camera_path.stills(cameras)
    return camera_path.path(cameras, count), cameras[[where[name] for name in STILL_AZIMUTHS]]


def frame_count(config: VideoConfig) -> int:
    """Frames of each video. Raises UserError for videos that cannot be made."""
    count = round(config.seconds * config.fps)
    if config.size < 2 or config.size % 2 or count < 1:
        raise UserError(
            f"Videos of {config.size} pixels and {count} frames cannot be made.",
            "Choose an even size and a length of at least one frame.",
        )
    return count


def shots(asset: Asset, video: str, config: VideoConfig) -> tuple[Cameras, list[float]]:
    """The cameras of one of VIDEOS and the moment that each sees, in [0, 1]; one per frame."""
    count = frame_count(config)
    turn, still = _cameras(asset, config.size, count)
    stands = list(STILL_AZIMUTHS).index(video) if video in STILL_AZIMUTHS else None
    cameras = turn if stands is None else still[[stands] * count]
    middle = float(asset.positions[len(asset.positions) // 2])
    return cameras, [middle] * count if video == "bullet" else np.linspace(0, 1, count).tolist()


def render_views(
    asset: Asset,
    cameras: Cameras,  # C cameras
    positions: Sequence[float],  # [C] the moment that each camera sees, in [0, 1]
    rasterizer: str = "auto",
) -> np.ndarray:
    """Pictures of the asset alone: [C, H, W, 4] uint8 RGBA, straight alpha.

    Each distinct moment is computed once, so give cameras of the same moment together.
    """
    images = np.empty((len(cameras), cameras.height, cameras.width, 4), np.uint8)
    for position in sorted(set(positions)):
        chosen = [index for index, other in enumerate(positions) if other == position]
        images[chosen] = cut_out(asset.splats(position), cameras[chosen], rasterizer)
    return images


def cut_out(splats: Splats, cameras: Cameras, rasterizer: str = "auto") -> np.ndarray:
    """Pictures of Gaussians alone: [C, H, W, 4] uint8 RGBA, straight alpha."""
    colors, alphas, _ = render(splats, cameras, background=0.0, backend=rasterizer)
    colors, alphas = colors.cpu().numpy(), alphas.cpu().numpy()
    straight = colors / np.maximum(alphas, 1e-6)  # over black, colours come multiplied by alpha
    return _to_bytes(np.concatenate([straight, alphas], -1))


def _on_white(splats: Splats, cameras: Cameras, rasterizer: str) -> np.ndarray:
    """Pictures over a white background, [C, H, W, 3] uint8."""
    colors, _, _ = render(splats, cameras, background=1.0, backend=rasterizer)
    return _to_bytes(colors.cpu().numpy())


def _to_bytes(images: np.ndarray) -> np.ndarray:
    """Values in [0, 1], clipped to it, as uint8."""
    return (images.clip(0, 1) * 255 + 0.5).astype(np.uint8)
