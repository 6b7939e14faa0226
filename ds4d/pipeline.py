"""The one place that knows the order of the stages: clip -> mattes -> views -> features, points ->
4D -> videos, exports.

Every stage reads the artifacts of the stages before it from the run folder, so a stage whose key
has not changed is skipped, and what a later stage sees is always what lies on the disk.
"""

from __future__ import annotations

import dataclasses
import platform
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import clip, export, features, guidance, matting, mesh, multiview
from .cameras import Similarity, load_cameras, save_cameras
from .config import Config
from .errors import UserError
from .features.io import load_features, save_features
from .fourd import stage as train
from .fourd import visualize as pictures
from .fourd.asset import Asset
from .images import checkerboard, load_images, over, save_images, tile
from .matting import corrections
from .mesh.io import load_points_ply, save_glb, save_npz, save_points_ply
from .mesh.sampling import resample_cloud, sample_points
from .multiview import capture
from .multiview.grid import grids
from .multiview.outliers import describe, find_outliers
from .multiview.views import (
    CAPTURE_FILE,
    MESH_FILE,
    POINTS_FILE,
    Views,
    join,
    load_views,
    save_views,
)
from .render import animation, comparison, turntable
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
    """A clip in, a 4D asset with videos and exports in the run folder.

    Args:
        source: a video, an animated image, a folder of images or a case folder.
        workspace: the run folder; what is current in it is not made again.
        config: every setting, including the seed.
        until: the last stage to run, one of STAGES.
        pause_after: seconds of optimizing after which it saves its state and raises Paused.

    Raises:
        Paused: the time is up; the same call goes on from there.
        UserError: the clip cannot be used, or an engine that was asked for cannot run.
    """
    run = _Run(Path(source), workspace, config, pause_after)
    for stage in STAGES[: STAGES.index(until) + 1]:
        yield from getattr(run, stage)()


class _Run:
    """One pass over the stages."""

    def __init__(
        self, source: Path, workspace: Workspace, config: Config, pause_after: float | None
    ):
        if not source.exists():  # its content is the first thing that is looked at
            raise UserError(f"There is no clip {source}.", "Check the path.")
        turntable.frame_count(config.videos)  # told now, not after the optimization
        check_rasterizer(config.machine.rasterizer, device.pick(config.machine.device))
        if device.is_small(device.pick(config.machine.device)):
            config = replace(config, machine=replace(config.machine, low_memory=True))
        self.capture = capture.find(source, config.multiview)
        if self.capture is not None:
            config = replace(config, fourd=capture.optimization_settings(config.fourd))
        self.source, self.workspace, self.config = source, workspace, config
        self.pause_after = pause_after
        self.recorder = Recorder(workspace, config.machine)
        workspace.record |= {
            "source": source.name,
            "config": dataclasses.asdict(config),
            "seed": config.seed,
            "versions": versions(),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
            "device": str(device.pick(config.machine.device)),
        }
        workspace.save()
        workspace.log(f"generate {source.name}, preset {config.preset}, seed {config.seed}")

    def clip(self) -> Iterator[Event]:
        def make() -> Stage[dict[str, Any]]:
            read = yield from clip.read(self.source, self.config.clip)
            with self.workspace.replacing("clip") as folder:
                clip.save(folder, read)
            return {"frames": len(read.frames)}

        yield from self.recorder.run("clip", (self.source, self.config.clip), (), ["clip"], make)

    def matting(self) -> Iterator[Event]:
        read = clip.load(self.workspace / "clip")
        if self.capture is not None:
            yield from self._keep_whole(read)
            return
        engine = self._matting_engine(read.frames)

        def make() -> Stage[dict[str, Any]]:
            alphas = yield from engine.run(read.frames)
            root = self.workspace.root
            alphas = yield from corrections.run(root, read.frames, read.indices, alphas)
            frames, crop, warnings = clip.square(read, alphas, self.config.clip)
            for warning in warnings:
                yield Event("matting", len(frames), len(frames), warning, warning=True)
            with self.workspace.replacing("frames") as folder:
                save_images(folder, frames)
            yield Event("matting", len(frames), len(frames), "cut out", _matte_strip(frames))
            return {"crop": crop}

        inputs = (self.config.matting, *corrections.folder_of(self.workspace.root))
        yield from self.recorder.run("matting", inputs, ("clip",), ["frames"], make, engine)

    def _keep_whole(self, read: clip.Clip) -> Iterator[Event]:
        """Keep the frames of a capture's front camera as they are, background included."""

        size = self.capture.image_size(self.config.clip.size)

        def make() -> Stage[dict[str, Any]]:
            frames = capture.square_frames(read.frames, size)
            with self.workspace.replacing("frames") as folder:
                save_images(folder, frames)
            yield Event("matting", 1, 1, "the background is kept", _matte_strip(frames))
            return {}

        inputs = ("whole", size)
        yield from self.recorder.run("matting", inputs, ("clip",), ["frames"], make)

    def _matting_engine(self, frames: np.ndarray) -> Engine:
        config = self.config
        return matting.choose(config.matting, config.machine, frames, self.workspace / "mattes")

    def _matte_views(self, frames: np.ndarray) -> Stage[np.ndarray]:
        """Cut the object out of drawn views as well as this run can."""
        config = replace(self.config.matting, engine="auto")
        mattes = matting.choose(config, self.config.machine, frames, self.workspace / "mattes")
        return mattes.run(frames)

    def multiview(self) -> Iterator[Event]:
        read = clip.load(self.workspace / "clip")
        config = self.config
        engine = multiview.choose(
            config.multiview, config.machine, self.source, read, config.seed, self._matte_views
        )

        def make() -> Stage[dict[str, Any]]:
            frames = load_images(self.workspace / "frames")
            views = yield from engine.run(frames, frames.shape[1])
            flags = [] if views.capture_to_world else find_outliers(views.images)
            if flags:
                yield Event("multiview", len(frames), len(frames), describe(flags), warning=True)
            pictures = grids(views.images, flags)
            with self.workspace.replacing("multiview") as folder:
                save_views(folder, views.images[:, 1:])
                save_cameras(folder / "cameras.json", views.cameras)
                if views.mesh is not None:
                    save_npz(folder / MESH_FILE, views.mesh)
                if views.capture_to_world is not None:
                    (folder / CAPTURE_FILE).write_text(views.capture_to_world.to_json())
                    save_points_ply(folder / POINTS_FILE, *views.cloud)
                clip.write_video(folder / "grid.mp4", pictures, fps=12)
            middle = pictures[len(pictures) // 2]
            words = f"{len(views.cameras)} cameras" if views.capture_to_world else "six views"
            yield Event("multiview", len(frames), len(frames), words, middle)
            return {"flags": [[flag.frame, flag.view, flag.reason] for flag in flags]}

        # The clip's key stands for the whole source folder, so for views that lie in it, too.
        inputs = (config.multiview,)
        yield from self.recorder.run("multiview", inputs, ("matting",), ["multiview"], make, engine)

    def features(self) -> Iterator[Event]:
        engine = features.choose(self.config.features, self.config.machine)

        def make() -> Stage[dict[str, Any]]:
            maps = yield from engine.run(self.views().images)
            with self.workspace.replacing("features.safetensors") as path:
                save_features(path, maps)
            return {"shape": list(maps.shape)}

        inputs, artifacts = (self.config.features,), ["features.safetensors"]
        yield from self.recorder.run("features", inputs, ("multiview",), artifacts, make, engine)

    def mesh(self) -> Iterator[Event]:
        if self.capture is not None:
            yield from self._start_from_points()
            return
        views_engine = self.workspace.record["stages"]["multiview"]["engine"]
        inflated = self.workspace / "multiview" / MESH_FILE
        engine = mesh.choose(self.config.mesh, self.config.machine, views_engine, inflated)

        def make() -> Stage[dict[str, Any]]:
            views = self.views()
            middle = views.images[len(views.images) // 2]
            shape = yield from engine.run(middle, views.cameras, self.config.mesh.resolution)
            generator = torch.Generator().manual_seed(self.config.seed)
            points, colors, _ = sample_points(shape, self.config.fourd.points, generator)
            with self.workspace.replacing("mesh.glb") as path:
                save_glb(path, shape)
            with self.workspace.replacing("points.ply") as path:
                save_points_ply(path, points, colors)
            return {"vertices": len(shape.vertices)}

        inputs = (self.config.mesh, self.config.fourd.points, self.config.seed)
        artifacts = ["mesh.glb", "points.ply"]
        yield from self.recorder.run("mesh", inputs, ("multiview",), artifacts, make, engine)

    def _start_from_points(self) -> Iterator[Event]:
        """Sample the initial points of a capture, which has no mesh, from its point cloud."""
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

    def fourd(self) -> Iterator[Event]:
        config = self.config
        guides = guidance.choose(config.fourd, config.machine)

        def make() -> Stage[dict[str, Any]]:
            yield from self.recorder.fetched("fourd", guides.networks)
            points, colors = load_points_ply(self.workspace / "points.ply")
            maps = load_features(self.workspace / "features.safetensors")
            positions = clip.load(self.workspace / "clip").positions
            asset, facts = yield from train.run(
                self.views(), torch.as_tensor(positions), maps, points, colors, config.fourd,
                config.seed, self.workspace / "checkpoints", self.recorder.keys["fourd"],
                device.pick(config.machine.device), guides, self.pause_after,
                config.machine.rasterizer,
            )  # fmt: skip
            with self.workspace.replacing("fourd.safetensors") as path:
                asset.save(path)
            on_device = asset.to(device.pick(config.machine.device))
            images, rasterizer = self.views().images, config.machine.rasterizer
            pictures.write(on_device, images, maps, self.workspace, rasterizer)
            return facts | {"weights": guides.networks}

        judges = (guides.perceptual_loss, guides.sds_model, *guides.made_from)
        inputs = (config.fourd, config.seed, judges)
        after = ("features", "mesh")
        yield from self.recorder.run("fourd", inputs, after, ["fourd.safetensors"], make)

    def videos(self) -> Iterator[Event]:
        def make() -> Stage[dict[str, Any]]:
            asset, frames = self.asset(), load_images(self.workspace / "frames")
            config, rasterizer = self.config.videos, self.config.machine.rasterizer
            shutil.rmtree(self.workspace / animation.FOLDER, ignore_errors=True)  # of the old asset
            facts = yield from comparison.run(asset, frames, self.workspace, config, rasterizer)
            yield from turntable.run(asset, self.workspace, config, rasterizer)
            return facts

        yield from self.recorder.run("videos", (self.config.videos,), ("fourd",), ["videos"], make)

    def export(self) -> Iterator[Event]:
        def make() -> Stage[dict[str, Any]]:
            seconds = self.config.videos.seconds
            files = yield from export.run(self.asset(), self.workspace, seconds)
            return {"files": [str(path.relative_to(self.workspace.root)) for path in files]}

        yield from self.recorder.run("export", (), ("videos",), ["exports"], make)

    def views(self) -> Views:
        """The front frames and the six views of each, as they lie on the disk."""
        return load_run_views(self.workspace)

    def asset(self) -> Asset:
        asset = Asset.load(self.workspace / "fourd.safetensors")
        return asset.to(device.pick(self.config.machine.device))


def _matte_strip(
    frames: np.ndarray,  # [T, S, S, 4] uint8
) -> np.ndarray:
    """Eight of the frames beside each other, over the pattern of transparency."""
    some = frames[np.linspace(0, len(frames) - 1, min(8, len(frames))).round().astype(int)]
    return tile(over(some, checkerboard(*some.shape[1:3])), columns=len(some))


def load_run_views(workspace: Workspace) -> Views:
    """The front frames and the six views of each of a run."""
    fronts = load_images(workspace / "frames")
    generated = load_views(workspace / "multiview")
    cameras = load_cameras(workspace / "multiview" / "cameras.json")
    views = join(fronts, generated, cameras)
    placed = workspace / "multiview" / CAPTURE_FILE
    if not placed.exists():
        return views
    return replace(views, capture_to_world=Similarity.from_json(placed.read_text()))
