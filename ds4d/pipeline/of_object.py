"""The stages of a clip of one object in front of one camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch

from .. import clip, interpolation, matting, mesh
from ..export.object_mesh import GIVEN, write_still
from ..images import save_images
from ..matting import camera, corrections
from ..mesh.io import save_glb, save_points_ply
from ..mesh.sampling import sample_points
from ..moving_mesh.given import TooDense, place_given
from ..multiview.views import MESH_FILE
from ..run.engines import Engine
from ..run.events import Event, Stage
from ..weights import fetching
from .base import Pipeline, matte_strip


class ObjectPipeline(Pipeline):
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
        more = None
        if config.clip.interpolate > 1:
            more = interpolation.choose(config.clip, config.machine)

        @cache
        def sampled() -> clip.Clip:
            return clip.load(root / "clip")

        def choose() -> Engine:
            return matting.choose(config.matting, config.machine, sampled().frames, root / "mattes")

        def make(engine: Engine) -> Stage[dict[str, Any]]:
            read = sampled()
            strokes = yield from corrections.read(root, read.indices, read.frames.shape[1:3])
            alphas = yield from engine.run(read.frames, strokes)
            opaque = read.frames.shape[-1] == 3 and not read.prepared
            moved = camera.motion(read.frames, alphas) if opaque else None
            frames, squares, warnings = clip.square(read, alphas, config.clip, moved)
            if more is not None:
                for weights in more.weights:
                    yield from fetching("matting", weights, config.machine.weights)
                frames = yield from more.run(frames, config.clip.interpolate)
            for warning in warnings:
                yield Event("matting", len(frames), len(frames), warning, warning=True)
            with self.workspace.replacing("frames") as folder:
                save_images(folder, frames)
            yield Event("matting", len(frames), len(frames), "cut out", matte_strip(frames))
            return squares.facts()

        painted = corrections.folder_of(root)
        square = {"size": config.clip.size, "margin": config.clip.margin}
        former = (config.matting, *painted)
        if more is not None:
            square["interpolate"], former = config.clip.interpolate, None
            if more.name != "flow":  # of which earlier runs do not tell
                square["between"] = more.key
        yield from self.recorder.run(
            "matting", (config.matting, square, *painted), ("clip",), ["frames"], make, choose,
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
            self.workspace.remove(GIVEN)
            if engine.name == "given":
                try:
                    mesh_in_place = place_given(file, shape)
                except TooDense as error:
                    message = f"{error.sentence} The mesh that moves is made from the Gaussians."
                    yield Event("mesh", 1, 1, message, warning=True)
                else:
                    with self.workspace.replacing(GIVEN) as path:
                        write_still(path, mesh_in_place)
            return {"vertices": len(shape.vertices)}

        yield from self.recorder.run(
            "mesh", (config.mesh, config.fourd.points, config.seed), ("multiview",),
            ["mesh.glb", "points.ply"], make, choose, choose_from=(file,) if file.is_file() else (),
        )  # fmt: skip
