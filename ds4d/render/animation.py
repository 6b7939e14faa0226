"""One turntable video on demand, also as a GIF for messages or a transparent webm for web pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..clip.video import write_gif, write_video, write_webm
from ..config import VideoConfig
from ..errors import UserError
from ..images import over
from ..run.events import Event, Stage
from ..run.workspace import Workspace
from .turntable import CAMERAS_AT_ONCE, VIDEOS, render_views, shots

if TYPE_CHECKING:
    from ..fourd.asset import Asset

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
    """Draw one of turntable's VIDEOS and write it; returns its path.

    A webm is transparent, the others are on white. An mp4 takes its place among the run's videos,
    the others are written to exports/animations.

    Raises UserError for another video or format, or a size or length that cannot be made.
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
        yield Event("videos", done, len(cameras) + 1, f"drawing {video}", over(frames[start]))
    name = path(video, format)
    with workspace.replacing(name) as target:
        WRITERS[format](target, frames if format == "webm" else over(frames), config.fps)
    yield Event("videos", len(cameras) + 1, len(cameras) + 1, f"wrote {name}")
    return workspace / name


def path(video: str, format: str) -> str:
    """Where in a run folder a video is written."""
    folder = "videos" if format == "mp4" else FOLDER
    return f"{folder}/{video}.{format}"
