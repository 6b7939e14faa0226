"""Single turntable videos on request: mp4, GIF for messages, transparent WebM for web pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..clip.video import write_gif, write_video, write_webm
from ..config import VideoConfig
from ..errors import UserError
from ..fourd.asset import Asset
from ..images import over
from ..run.events import Event, Stage
from ..run.workspace import Workspace
from .turntable import CAMERAS_AT_ONCE, VIDEOS, render_views, shots

FOLDER = "exports/animations"
WRITERS = {"mp4": write_video, "gif": write_gif, "webm": write_webm}


def run(
    asset: Asset,
    workspace: Workspace,
    video: str,
    format: str,
    config: VideoConfig,
    rasterizer: str = "auto",
) -> Stage[Path]:
    """Render one of turntable.VIDEOS and write it; returns its path.

    A WebM is transparent, the others are on white. An mp4 replaces the run's video of that name,
    the others go to exports/animations.

    Raises UserError for an unknown video or format, or an invalid size or length.
    """
    if video not in VIDEOS or format not in WRITERS:
        raise UserError(
            f"There is no video {video}.{format}.",
            f"Choose one of {', '.join(VIDEOS)}, and one of {', '.join(WRITERS)}.",
        )
    cameras, positions = shots(asset, video, config)
    frames = np.empty((len(cameras), cameras.height, cameras.width, 4), np.uint8)
    for start in range(0, len(cameras), CAMERAS_AT_ONCE):
        part = slice(start, start + CAMERAS_AT_ONCE)
        frames[part] = render_views(asset, cameras[part], positions[part], rasterizer)
        done = min(part.stop, len(cameras))
        yield Event("videos", done, len(cameras) + 1, f"rendering {video}", over(frames[start]))
    name = path(video, format)
    with workspace.replacing(name) as target:
        WRITERS[format](target, frames if format == "webm" else over(frames), config.fps)
    yield Event("videos", len(cameras) + 1, len(cameras) + 1, f"wrote {name}")
    return workspace / name


def path(video: str, format: str) -> str:
    """Path of a video, relative to the run folder."""
    folder = "videos" if format == "mp4" else FOLDER
    return f"{folder}/{video}.{format}"
