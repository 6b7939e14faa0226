"""The points cache and the script that brings it into Blender, run against a Blender of mocks."""

from __future__ import annotations

import runpy
import sys
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from PIL import Image

from ds4d.cameras import orbit_cameras
from ds4d.export import points_cache
from ds4d.export.context import ExportContext
from ds4d.run.workspace import Workspace
from ds4d.splatting.splats import Splats


class Asset:
    """Two Gaussians that rise, of which one is too faint to be drawn as solid."""

    positions = torch.tensor([0.0, 0.5, 1.0])
    cameras = orbit_cameras([0.0], size=64)

    def splats(self, position: float) -> Splats:
        return Splats(
            torch.tensor([[0.1, 0.2, position], [0.3, 0.4, position]]),
            torch.tensor([[1.0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]]),
            torch.tensor([[0.01, 0.02, 0.03], [0.04, 0.05, 0.06]]) * (1 + position),
            torch.tensor([0.9, 0.05]),
            torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.0, position]]),
        )


@pytest.fixture
def context(tmp_path) -> ExportContext:
    context = ExportContext(Asset(), Workspace(tmp_path), 4.0)
    assert list(points_cache.write(context)) == [points_cache.NAME, points_cache.SCRIPT]
    return context


def test_the_cache_holds_every_gaussian_at_every_frame(context):
    with np.load(context.workspace / points_cache.NAME) as arrays:
        assert {name: values.shape for name, values in arrays.items()} == {
            "means": (3, 2, 3), "quats": (3, 2, 4), "scales": (3, 2, 3),
            "opacities": (2,), "colors": (2, 3), "frame_colors": (3, 2, 3), "times": (3,),
        }  # fmt: skip
        assert arrays["times"].tolist() == [0.0, 2.0, 4.0]
        for number, splats in enumerate(context.frames()):
            for name in ("means", "quats", "scales"):
                np.testing.assert_array_equal(arrays[name][number], getattr(splats, name))
            np.testing.assert_array_equal(arrays["frame_colors"][number], splats.colors)
        np.testing.assert_array_equal(arrays["colors"], Asset().splats(0.5).colors)  # the means


@pytest.fixture
def bpy(monkeypatch) -> MagicMock:
    """A Blender that takes everything and remembers it; 24 frames a second."""
    bpy = MagicMock()
    bpy.types.NodeSocket = MagicMock  # what nodes answer with
    bpy.context.scene.render.fps, bpy.context.scene.render.fps_base = 24, 1.0
    node = bpy.data.node_groups.new.return_value.nodes.new.return_value
    node.outputs.__iter__.side_effect = lambda: iter([node.outputs[0]])
    monkeypatch.setitem(sys.modules, "bpy", bpy)
    return bpy


def run(context: ExportContext, monkeypatch) -> None:
    script, arrays = context.workspace / points_cache.SCRIPT, context.workspace / points_cache.NAME
    monkeypatch.setattr(sys, "argv", ["blender", "--python", str(script), "--", str(arrays)])
    runpy.run_path(str(script), run_name="__main__")


def test_the_script_gives_blender_every_frame_of_what_can_be_seen(context, bpy, monkeypatch):
    run(context, monkeypatch)
    mesh = bpy.data.meshes.new.return_value
    assert [call.args for call in mesh.vertices.add.call_args_list] == [(3,), (1,)]  # T x N, N
    places = mesh.vertices.foreach_set.call_args_list[0].args[1].reshape(3, 3)
    np.testing.assert_allclose(places, [[0.1, 0.2, 0.0], [0.1, 0.2, 0.5], [0.1, 0.2, 1.0]])
    given = {
        made.args[0]: values.args
        for made, values in zip(
            mesh.attributes.new.call_args_list,
            mesh.attributes.new.return_value.data.foreach_set.call_args_list,
            strict=True,
        )
    }
    assert set(given) == {"scale", "rotation", "color"}
    np.testing.assert_allclose(given["scale"][1].reshape(3, 3)[2], [0.02, 0.04, 0.06], rtol=1e-6)
    np.testing.assert_allclose(given["rotation"][1], [1, 0, 0, 0] * 3)
    np.testing.assert_allclose(given["color"][1], [1.0, 0.214, 0.0, 1.0], atol=1e-3)  # linear


def test_the_animation_lasts_as_long_as_the_clip(context, bpy, monkeypatch):
    run(context, monkeypatch)
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, 97)
    node = bpy.data.node_groups.new.return_value.nodes.new.return_value
    keys = node.outputs[0].keyframe_insert.call_args_list
    assert [call.kwargs["frame"] for call in keys] == [1, 49, 97]


def test_a_path_moves_the_object_in_blender(context, bpy, monkeypatch):
    context.workspace.record["stages"] = {"matting": {"path": [[0, 0, 8], [8, 0, 8], [16, 0, 8]]}}
    (context.workspace / "clip").mkdir()
    Image.new("RGB", (24, 8)).save(context.workspace / "clip" / "0000.png")
    list(points_cache.write(context))
    run(context, monkeypatch)
    thing = bpy.data.objects.new.return_value
    keys = [call for call in thing.keyframe_insert.call_args_list if call.args[0] == "location"]
    assert [call.kwargs["frame"] for call in keys] == [1, 49, 97]
    assert thing.location[0] > 1 and thing.location[1:] == pytest.approx([0, 0])


def test_without_a_name_the_cache_beside_the_script_is_taken(context, bpy, monkeypatch):
    bpy.context.space_data = None
    monkeypatch.setattr(sys, "argv", ["blender", "--python", "import_ds4d.py"])
    runpy.run_path(str(context.workspace / points_cache.SCRIPT), run_name="__main__")
    assert bpy.data.meshes.new.called
