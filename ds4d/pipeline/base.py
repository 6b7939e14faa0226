"""The stages that every kind of input has."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import clip, export, features, guidance, interpolation, multiview
from ..config import Config, ExportConfig
from ..errors import UserError
from ..evaluation import comparison
from ..features.io import load_features, save_features
from ..fourd import stage as fourd
from ..fourd import visualize
from ..fourd.asset import Asset
from ..images import checkerboard, load_images, over, tile
from ..mesh.io import load_points_ply
from ..mesh.mesh import Mesh
from ..multiview.grid import grids
from ..multiview.outliers import describe, find_outliers
from ..multiview.shape_prior.weights import fingerprint
from ..multiview.views import SPLATS_FILE, MeshMaker, Views, load_views
from ..render import animation, in_clip, turntable
from ..run import device
from ..run.engines import Engine
from ..run.events import Event, Stage, nested
from ..run.recorder import Recorder, versions
from ..run.workspace import Workspace
from ..splatting.splats import Splats, load_splats

CLIP_LIMITS = ("max_seconds", "max_pixels", "max_bytes")  # fields of ClipConfig


class Pipeline:
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
        for name in ("interpolate", "between"):  # later settings, which leave the clip's frames
            former.pop(name)
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
                config.multiview, config.machine, self.source, read, config.seed,
                MeshMaker(self._first_mesh, *self._first_mesh_needs()),
            )  # fmt: skip

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
        later = ("depth_network", "sides", "between", "solver")
        inputs = (without_defaults(config.multiview, *later),)
        yield from self.recorder.run(
            "multiview", inputs, ("matting",), ["multiview"], make, choose,
            choose_from=(fingerprint(),),
        )  # fmt: skip

    def _first_mesh(self, frame: np.ndarray) -> Stage[Mesh]:
        """A mesh of one frame [S, S, 4] alone, by Zero123++ and InstantMesh."""
        from ..mesh import instantmesh
        from ..multiview.zero123plus import engine as zero123plus

        config, machine = self.config, self.config.machine
        size, model = len(frame), config.mesh.model
        views = yield from zero123plus.run(
            frame[None], size, config=config.multiview, machine=machine, seed=config.seed
        )
        making = instantmesh.run(
            views.images[0], views.cameras, config.mesh.resolution, model=model, machine=machine
        )
        return (yield from nested(making, Event("multiview", 0, 0), share=0))

    def _first_mesh_needs(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The weights that `_first_mesh` needs, and the settings that decide its result."""
        multiview, mesh = self.config.multiview, self.config.mesh
        weights = (f"zero123plus-{multiview.version}", f"instantmesh-{mesh.model}")
        white = ("instantmesh-unet",) if multiview.white else ()
        return weights + white, (f"grid of {mesh.resolution}",)

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
                self.device, guides, self.pause_after, rasterizer, self._start(),
            )  # fmt: skip
            with self.workspace.replacing("fourd.safetensors") as path:
                asset.save(path)
            images, on_device = self.views.images, asset.to(self.device)
            visualize.write(on_device, images, maps, self.workspace, rasterizer)
            return facts

        settings, former = without_defaults(config.fourd, "start"), None
        fields = dataclasses.asdict(settings)
        if fields.pop("color_knots") == fields.pop("hard_frames") == 0:  # as it was without them
            former = (dataclasses.make_dataclass("FourdConfig", fields)(**fields), config.seed)
        yield from self.recorder.run(
            "fourd", (settings, config.seed), ("features", "mesh"), ["fourd.safetensors"],
            make, lambda: guidance.choose(config.fourd, config.machine), former_inputs=former,
        )  # fmt: skip

    def _start(self) -> Splats | None:
        """The middle frame's Gaussians, if the optimization is to start from them.

        Raises UserError if the views were not rendered from Gaussians.
        """
        file = self.workspace / "multiview" / SPLATS_FILE
        if self.config.fourd.start == "points":
            return None
        if not file.exists():
            raise UserError(
                "These views were not rendered from Gaussians to start from.",
                "Take the views of l4gm (--multiview.engine l4gm), or leave out --fourd.start.",
            )
        return load_splats(file)

    def render_videos(self) -> Iterator[Event]:
        """videos/: turntable videos, and the comparison of the asset with the clip."""

        def make() -> Stage[dict[str, Any]]:
            asset, frames = self._asset(), load_images(self.workspace / "frames")
            config, rasterizer = self.config.videos, self.config.machine.rasterizer
            self.workspace.remove(animation.FOLDER)  # of the old asset
            facts = yield from comparison.run(asset, frames, self.workspace, config, rasterizer)
            yield from turntable.run(asset, self.workspace, config, rasterizer)
            yield from in_clip.run(asset, self.workspace, config, rasterizer)
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


def without_defaults(config: Any, *names: str) -> Any:
    """Settings without these fields where they have their defaults.

    The fields came later: runs from before there were any keep their keys.
    """
    fields, start = dataclasses.asdict(config), type(config)()
    for name in names:
        if fields[name] == getattr(start, name):
            del fields[name]
    return dataclasses.make_dataclass(type(config).__name__, fields)(**fields)


def matte_strip(
    frames: np.ndarray,  # [T, S, S, 4] uint8
) -> np.ndarray:
    """Up to eight of the frames side by side, over a checkerboard: [S, 8 * S, 3] uint8."""
    indices = np.linspace(0, len(frames) - 1, min(8, len(frames))).round().astype(int)
    board = checkerboard(*frames.shape[1:3])
    return tile(over(frames[indices], board), columns=len(indices))
