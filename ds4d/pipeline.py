"""The order of the stages: clip -> mattes -> views -> features, points -> 4D -> videos, exports.

Every stage reads the artifacts of earlier stages from the run folder. A stage whose inputs have
not changed is skipped, without loading anything.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import (
    clip,
    export,
    features,
    guidance,
    intake,
    interpolation,
    matting,
    mesh,
    multiview,
    ranges,
)
from .config import Config, ExportConfig
from .errors import UserError
from .evaluation import comparison
from .export.animated_glb import write_morphing
from .export.object_mesh import GIVEN
from .features.io import load_features, save_features
from .fourd import stage as fourd
from .fourd import visualize
from .fourd.asset import Asset
from .images import checkerboard, load_images, over, save_images, tile
from .matting import corrections
from .mesh.io import load_points_ply, save_glb, save_points_ply
from .mesh.sampling import resample_cloud, sample_points
from .moving_mesh.given import TooDense, place_given
from .multiview import capture
from .multiview.grid import grids
from .multiview.outliers import describe, find_outliers
from .multiview.views import MESH_FILE, POINTS_FILE, Views, load_views
from .render import animation, turntable
from .run import device
from .run.engines import Engine
from .run.events import STAGES, Event, Stage
from .run.recorder import Recorder, versions
from .run.workspace import Workspace
from .splatting.rasterize import check as check_rasterizer


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
        intake.check_apart(source, workspace.root)
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
    intake.check(source, config.clip)
    turntable.frame_count(config.videos)
    place = device.pick(config.machine.device)
    check_rasterizer(config.machine.rasterizer, place)
    if config.clip.interpolate > 1 and multiview.given_views(source, config.multiview):
        raise UserError(
            f"The views in {source.name} are of its own frames, not of frames in between.",
            "Leave out --clip.interpolate, or ignore the views with --views none.",
        )
    return place


class _Pipeline:
    """Stages that every kind of input has; subclasses add how frames and points are made."""

    def __init__(
        self, source: Path, workspace: Workspace, config: Config, pause_after: float | None
    ):
        self.source, self.workspace, self.config = source, workspace, config
        self.pause_after = pause_after
        self.device = device.pick(config.machine.device)
        self.recorder = Recorder(workspace, config.machine)
        # Limits of the server were part of the clip's key once; runs of that time are recognized.
        recorded = workspace.record.get("config", {}).get("clip", {})
        limits = {name: recorded[name] for name in CLIP_LIMITS if name in recorded}
        former = dataclasses.asdict(replace(config.clip, **limits))
        former.pop("interpolate")  # those runs knew none, and it does not change the clip's frames
        self.former_clip_config = dataclasses.make_dataclass("ClipConfig", former)(**former)

    def stages(self) -> dict[str, Callable[[], Iterator[Event]]]:
        """The stages in order, by their names in STAGES, under which events and run.json know them.

        Each reads artifacts of earlier stages and leaves its own in the run folder.
        """
        raise NotImplementedError

    def begin(self) -> None:
        """Record what the run is about to do."""
        source, config = self.source, self.config
        self.workspace.record |= {
            "source": source.name,
            "config": dataclasses.asdict(config),
            "seed": config.seed,
            "versions": versions(),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
            "device": str(self.device),
        }
        self.workspace.save()
        self.workspace.log(f"generate {source.name}, preset {config.preset}, seed {config.seed}")

    def read_clip(self) -> Iterator[Event]:
        """clip/: the sampled frames."""

        def make() -> Stage[dict[str, Any]]:
            read = yield from clip.read(self.source, self.config.clip)
            with self.workspace.replacing("clip") as folder:
                clip.save(folder, read)
            return {"frames": len(read.frames)}

        config = self.config.clip
        sampling = {"frames": config.frames, "start": config.start, "end": config.end}
        yield from self.recorder.run(
            "clip", (self.source, sampling), (), ["clip"], make,
            former_inputs=(self.source, self.former_clip_config),
        )  # fmt: skip

    def make_views(self) -> Iterator[Event]:
        """multiview/: the other views of each frame, with all cameras."""
        config = self.config

        def choose() -> Engine:
            read = clip.load(self.workspace / "clip")
            return multiview.choose(
                config.multiview, config.machine, self.source, read, config.seed, self._cut_out
            )

        def make(engine: Engine) -> Stage[dict[str, Any]]:
            frames = load_images(self.workspace / "frames")
            views = yield from engine.run(frames, frames.shape[1])
            real = views.capture_to_world is not None
            flags = [] if real else find_outliers(views.images)
            if flags:
                yield Event("multiview", len(frames), len(frames), describe(flags), warning=True)
            pictures = grids(views.images, flags)
            with self.workspace.replacing("multiview") as folder:
                views.save(folder)
                clip.write_video(folder / "grid.mp4", pictures, fps=12)
            message = f"{len(views.cameras)} cameras" if real else "six views"
            preview = pictures[len(pictures) // 2]
            yield Event("multiview", len(frames), len(frames), message, preview)
            return {"flags": [[flag.frame, flag.view, flag.reason] for flag in flags]}

        # Views that lie in the source folder are covered by the clip's key, which hashes it whole.
        yield from self.recorder.run(
            "multiview", (config.multiview,), ("matting",), ["multiview"], make, choose
        )

    def _cut_out(self, frames: np.ndarray) -> Stage[np.ndarray]:
        """Mattes [T, H, W] of generated views [T, H, W, 3], by the best engine of this machine."""
        config = replace(self.config.matting, engine="auto")
        folder = self.workspace / "mattes"
        return matting.choose(config, self.config.machine, frames, folder).run(frames)

    def describe_views(self) -> Iterator[Event]:
        """features.safetensors: feature maps of all views."""

        def make(engine: Engine) -> Stage[dict[str, Any]]:
            maps = yield from engine.run(self.views.images)
            with self.workspace.replacing("features.safetensors") as path:
                save_features(path, maps)
            return {"shape": list(maps.shape)}

        config = self.config.features
        yield from self.recorder.run(
            "features", (config,), ("multiview",), ["features.safetensors"], make,
            lambda: features.choose(config, self.config.machine),
        )  # fmt: skip

    def optimize(self) -> Iterator[Event]:
        """fourd.safetensors: the 4D asset; checkpoints/: the state of its optimization."""
        config, rasterizer = self.config, self.config.machine.rasterizer

        def make(guides: guidance.Guidance) -> Stage[dict[str, Any]]:
            points, colors = load_points_ply(self.workspace / "points.ply")
            maps = load_features(self.workspace / "features.safetensors")
            moments = clip.load(self.workspace / "clip").positions
            positions = interpolation.positions(moments, self.config.clip.interpolate)
            asset, facts = yield from fourd.run(
                self.views, torch.as_tensor(positions), maps, points, colors, config.fourd,
                config.seed, self.workspace / "checkpoints", self.recorder.keys["fourd"],
                self.device, guides, self.pause_after, rasterizer,
            )  # fmt: skip
            with self.workspace.replacing("fourd.safetensors") as path:
                asset.save(path)
            images, on_device = self.views.images, asset.to(self.device)
            visualize.write(on_device, images, maps, self.workspace, rasterizer)
            return facts

        former, fields = None, dataclasses.asdict(config.fourd)
        if fields.pop("color_knots") == fields.pop("hard_frames") == 0:  # as it was without them
            former = (dataclasses.make_dataclass("FourdConfig", fields)(**fields), config.seed)
        yield from self.recorder.run(
            "fourd", (config.fourd, config.seed), ("features", "mesh"), ["fourd.safetensors"],
            make, lambda: guidance.choose(config.fourd, config.machine), former_inputs=former,
        )  # fmt: skip

    def render_videos(self) -> Iterator[Event]:
        """videos/: turntable videos, and the comparison of the asset with the clip."""

        def make() -> Stage[dict[str, Any]]:
            asset, frames = self._asset(), load_images(self.workspace / "frames")
            config, rasterizer = self.config.videos, self.config.machine.rasterizer
            self.workspace.remove(animation.FOLDER)  # of the old asset
            facts = yield from comparison.run(asset, frames, self.workspace, config, rasterizer)
            yield from turntable.run(asset, self.workspace, config, rasterizer)
            return facts

        yield from self.recorder.run("videos", (self.config.videos,), ("fourd",), ["videos"], make)

    def export(self) -> Iterator[Event]:
        """exports/: files for other programs, and the zip of everything."""

        config = self.config.export
        former = () if config == ExportConfig() else None  # runs from before there were settings

        def make() -> Stage[dict[str, Any]]:
            seconds = self.config.videos.seconds
            files = yield from export.run(self._asset(), self.workspace, seconds, config=config)
            return {"files": [str(path.relative_to(self.workspace.root)) for path in files]}

        yield from self.recorder.run(
            "export", (config,), ("videos",), ["exports"], make, former_inputs=former
        )

    @cached_property
    def views(self) -> Views:
        """The front frames and the other views of each, decoded once. Not before `make_views`."""
        return load_views(self.workspace.root)

    def _asset(self) -> Asset:
        return Asset.load(self.workspace / "fourd.safetensors").to(self.device)


class ObjectPipeline(_Pipeline):
    """One object in front of one camera: it is matted, its views are generated, its mesh made."""

    def stages(self) -> dict[str, Callable[[], Iterator[Event]]]:
        return {
            "clip": self.read_clip,
            "matting": self.cut_out_object,
            "multiview": self.make_views,
            "features": self.describe_views,
            "mesh": self.make_mesh,
            "fourd": self.optimize,
            "videos": self.render_videos,
            "export": self.export,
        }

    def cut_out_object(self) -> Iterator[Event]:
        """frames/: one square of all frames around the object, without its background."""
        config, root = self.config, self.workspace.root

        @cache
        def sampled() -> clip.Clip:
            return clip.load(root / "clip")

        def choose() -> Engine:
            return matting.choose(config.matting, config.machine, sampled().frames, root / "mattes")

        def make(engine: Engine) -> Stage[dict[str, Any]]:
            read = sampled()
            alphas = yield from engine.run(read.frames)
            alphas = yield from corrections.run(root, read.frames, read.indices, alphas)
            frames, crop, warnings = clip.square(read, alphas, config.clip)
            frames = yield from interpolation.run(frames, config.clip.interpolate)
            for warning in warnings:
                yield Event("matting", len(frames), len(frames), warning, warning=True)
            with self.workspace.replacing("frames") as folder:
                save_images(folder, frames)
            yield Event("matting", len(frames), len(frames), "cut out", _matte_strip(frames))
            path = None if read.prepared else clip.travel(alphas, config.clip.margin)
            return {"crop": crop} | ({} if path is None else {"path": path.tolist()})

        strokes = corrections.folder_of(root)
        square = {"size": config.clip.size, "margin": config.clip.margin}
        former = (config.matting, *strokes)
        if config.clip.interpolate > 1:
            square["interpolate"], former = config.clip.interpolate, None
        yield from self.recorder.run(
            "matting", (config.matting, square, *strokes), ("clip",), ["frames"], make, choose,
            former_inputs=former,
        )  # fmt: skip

    def make_mesh(self) -> Iterator[Event]:
        """mesh.glb: the mesh of the middle frame; points.ply: points on it, to start from."""
        config, file = self.config, Path(self.config.mesh.file)

        def choose() -> Engine:
            views_engine = self.workspace.record["stages"]["multiview"]["engine"]
            surface = self.workspace / "multiview" / MESH_FILE
            return mesh.choose(config.mesh, config.machine, views_engine, surface)

        def make(engine: Engine) -> Stage[dict[str, Any]]:
            middle = self.views.images[len(self.views.images) // 2]
            shape = yield from engine.run(middle, self.views.cameras, config.mesh.resolution)
            generator = torch.Generator().manual_seed(config.seed)
            points, colors, _ = sample_points(shape, config.fourd.points, generator)
            with self.workspace.replacing("mesh.glb") as path:
                save_glb(path, shape)
            with self.workspace.replacing("points.ply") as path:
                save_points_ply(path, points, colors)
            placed = self.workspace / GIVEN
            placed.unlink(missing_ok=True)
            if engine.name == "given":
                try:
                    mesh_in_place = place_given(file, shape)
                except TooDense as error:
                    message = f"{error.sentence} The mesh that moves is made from the Gaussians."
                    yield Event("mesh", 1, 1, message, warning=True)
                else:
                    with self.workspace.replacing(GIVEN) as path:
                        write_morphing(path, mesh_in_place, [0.0])
            return {"vertices": len(shape.vertices)}

        yield from self.recorder.run(
            "mesh", (config.mesh, config.fourd.points, config.seed), ("multiview",),
            ["mesh.glb", "points.ply"], make, choose, choose_from=(file,) if file.is_file() else (),
        )  # fmt: skip


class CapturePipeline(_Pipeline):
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
            yield Event("matting", 1, 1, "the background is kept", _matte_strip(frames))
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


CLIP_LIMITS = ("max_seconds", "max_pixels", "max_bytes")  # fields of ClipConfig


def _matte_strip(
    frames: np.ndarray,  # [T, S, S, 4] uint8
) -> np.ndarray:
    """Up to eight of the frames side by side, over a checkerboard: [S, 8 * S, 3] uint8."""
    indices = np.linspace(0, len(frames) - 1, min(8, len(frames))).round().astype(int)
    board = checkerboard(*frames.shape[1:3])
    return tile(over(frames[indices], board), columns=len(indices))
