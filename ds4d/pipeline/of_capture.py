"""The stages of a scene that several real cameras recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .. import clip
from ..config import Config
from ..images import save_images
from ..mesh.io import load_points_ply, save_points_ply
from ..mesh.sampling import resample_cloud
from ..multiview import capture
from ..multiview.views import POINTS_FILE
from ..run.events import Event, Stage
from ..run.workspace import Workspace
from .base import Pipeline, matte_strip


class CapturePipeline(Pipeline):
    """A scene that real cameras recorded: nothing is cut out, generated or meshed."""

    def __init__(
        self,
        source: Path,
        workspace: Workspace,
        config: Config,
        pause_after: float | None,
        recording: capture.MultiCameraCapture,
    ):
        config = replace(config, fourd=capture.optimization_settings(config.fourd))
        super().__init__(source, workspace, config, pause_after)
        self.recording = recording

    def stages(self) -> dict[str, Callable[[], Iterator[Event]]]:
        return {
            "clip": self.read_clip,
            "matting": self.resize_frames,
            "multiview": self.make_views,
            "features": self.describe_views,
            "mesh": self.resample_points,
            "fourd": self.optimize,
            "videos": self.render_videos,
            "export": self.export,
        }

    def resize_frames(self) -> Iterator[Event]:
        """frames/: the front camera's frames, resampled to squares."""
        size = self.recording.image_size(self.config.clip.size)

        def make() -> Stage[dict[str, Any]]:
            frames = capture.square_frames(clip.load(self.workspace / "clip").frames, size)
            with self.workspace.replacing("frames") as folder:
                save_images(folder, frames)
            yield Event("matting", 1, 1, "the background is kept", matte_strip(frames))
            return {}

        yield from self.recorder.run("matting", ("whole", size), ("clip",), ["frames"], make)

    def resample_points(self) -> Iterator[Event]:
        """points.ply: points to start from, sampled from the capture's point cloud."""
        config = self.config

        def make() -> Stage[dict[str, Any]]:
            points, colors = load_points_ply(self.workspace / "multiview" / POINTS_FILE)
            generator = torch.Generator().manual_seed(config.seed)
            count, found = config.fourd.points, len(points)
            with self.workspace.replacing("points.ply") as path:
                save_points_ply(path, *resample_cloud(points, colors, count, generator))
            yield Event("mesh", 1, 1, f"{count} points of {found} on which the cameras agree")
            return {"found": found}

        inputs = (config.fourd.points, config.seed)
        yield from self.recorder.run("mesh", inputs, ("multiview",), ["points.ply"], make)
