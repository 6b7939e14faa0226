"""The order of the stages: clip -> mattes -> views -> features, points -> 4D -> videos, exports.

Every stage reads the artifacts of earlier stages from the run folder. A stage whose inputs have
not changed is skipped, without loading anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from .. import multiview
from ..config import Config
from ..errors import UserError
from ..multiview import capture
from ..preflight import paths, ranges
from ..render import turntable
from ..run import device
from ..run.events import STAGES, Event
from ..run.workspace import Workspace
from ..splatting.rasterize import check as check_rasterizer
from .of_capture import CapturePipeline
from .of_object import ObjectPipeline


def generate(
    source: Path,
    workspace: Workspace,
    config: Config,
    until: str = STAGES[-1],
    pause_after: float | None = None,
) -> Iterator[Event]:
    """Make a 4D asset, videos and exports from a clip, in the run folder.

    Args:
        source: a video, an animated image, a folder of images, a case folder, or a multi-camera
            capture.
        workspace: the run folder; stages that are current in it are skipped.
        config: all settings, including the seed.
        until: the last stage to run, one of STAGES.
        pause_after: seconds of optimization after which it saves its state and raises Paused.

    Raises:
        Paused: the time is up; the same call continues from there.
        UserError: the clip cannot be used, a requested engine cannot run, or another process is at
            work in the folder.
    """
    source = Path(source)
    place = check(source, config)
    machine = config.machine
    if device.is_small(place):
        config = replace(config, machine=replace(machine, low_memory=True))
    recording = capture.find(source, config.multiview)
    with workspace.lock():
        paths.check_apart(source, workspace.root)
        if recording is None:
            pipeline = ObjectPipeline(source, workspace, config, pause_after)
        else:
            pipeline = CapturePipeline(source, workspace, config, pause_after, recording)
        pipeline.begin()
        stages = pipeline.stages()
        for name in STAGES[: STAGES.index(until) + 1]:
            yield from stages[name]()


def check(source: Path, config: Config) -> torch.device:
    """Check what can be checked before any work, and return the device of the run.

    Raises:
        UserError: a setting is out of range, or the clip or the device is not there.
    """
    ranges.check(config)
    paths.check(source, config.clip)
    turntable.frame_count(config.videos)
    place = device.pick(config.machine.device)
    check_rasterizer(config.machine.rasterizer, place)
    if config.clip.interpolate > 1 and multiview.given_views(source, config.multiview):
        raise UserError(
            f"The views in {source.name} are of its own frames, not of frames in between.",
            "Leave out --clip.interpolate, or ignore the views with --views none.",
        )
    return place
