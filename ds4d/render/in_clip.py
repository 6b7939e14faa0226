"""Video of an object that crosses the clip's frame: renders at their places in its frames."""

from __future__ import annotations

import cv2
import numpy as np

from ..clip.square_path import Travel, recorded
from ..clip.video import write_video
from ..config import VideoConfig
from ..fourd.asset import Asset
from ..images import load_images, over
from ..run.events import Event, Stage
from ..run.workspace import Workspace
from .turntable import frame_count, render_views

NAME = "videos/input.mp4"
LONGEST = 1280  # pixels of a side
FADED = 0.5  # share of the clip's frame that is left behind the render
PATH, BEHIND = (20, 110, 230), 0.35  # colour of the path, and its strength where it has been


def run(
    asset: Asset, workspace: Workspace, config: VideoConfig, rasterizer: str = "auto"
) -> Stage[None]:
    """Write videos/input.mp4: the object as the input camera sees it, over the clip's own frames.

    The square has the size of the other videos, unless the frame would then be longer than
    LONGEST pixels. Nothing is written for a run in which one square serves all frames.
    """
    moments = np.linspace(0, 1, frame_count(config))
    travel = recorded(workspace, len(asset.positions))
    if travel is None:
        workspace.remove(NAME)  # of an earlier run
        return
    frames = load_images(workspace / "clip")
    scale = min(config.size / travel.squares[0, 2], LONGEST / max(travel.width, travel.height))
    width, height = (max(2, 2 * round(scale * side / 2)) for side in (travel.width, travel.height))
    side = round(scale * travel.squares[0, 2])
    camera = asset.cameras.resized(side, side)[[0]]
    nearest = np.abs(moments[:, None] - asset.positions.numpy()).argmin(1)
    shown = np.linspace(0, len(frames) - 1, len(asset.positions)).round().astype(int)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pictures = {}
    for index in np.unique(nearest).tolist():
        render = render_views(asset, camera, [float(asset.positions[index])], rasterizer)[0]
        behind = cv2.resize(_opaque(frames[shown[index]]), (width, height), interpolation=way)
        left, top = np.round(travel.squares[index, :2] * scale).astype(int).tolist()
        picture = _with_path(_faded(behind), travel, scale, index)
        pictures[index] = _placed(picture, render, left, top)
        yield Event("videos", message="rendering the object in the clip's frames")
    with workspace.replacing(NAME) as path:
        write_video(path, (pictures[index] for index in nearest.tolist()), config.fps)


def _opaque(frame: np.ndarray) -> np.ndarray:
    return over(frame) if frame.shape[2] == 4 else frame


def _faded(frame: np.ndarray) -> np.ndarray:
    return (FADED * frame + (1 - FADED) * 255).astype(np.uint8)


def _with_path(picture: np.ndarray, travel: Travel, scale: float, now: int) -> np.ndarray:
    """A picture [H, W, 3] with the way of the square's middle, strong up to a frame."""
    middles = (travel.squares[:, :2] + travel.squares[:, 2:] / 2) * scale
    points = np.round(middles * 16).astype(np.int32)  # 4 bits of a pixel's fraction
    weak = cv2.polylines(picture.copy(), [points], False, PATH, 2, cv2.LINE_AA, 4)
    picture = cv2.addWeighted(weak, BEHIND, picture, 1 - BEHIND, 0)
    return cv2.polylines(picture, [points[: now + 1]], False, PATH, 2, cv2.LINE_AA, 4)


def _placed(picture: np.ndarray, render: np.ndarray, left: int, top: int) -> np.ndarray:
    """A render [S, S, 4] over a picture [H, W, 3], of which it may lie outside in part."""
    height, width = picture.shape[:2]
    side = len(render)
    rows = slice(max(top, 0), min(top + side, height))
    columns = slice(max(left, 0), min(left + side, width))
    if rows.start < rows.stop and columns.start < columns.stop:
        part = render[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
        picture[rows, columns] = over(part, picture[rows, columns])
    return picture
