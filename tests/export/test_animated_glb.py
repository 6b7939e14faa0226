"""The animated glTF: closed coloured surfaces, exactly one of them seen at any time."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch
import trimesh

from ds4d.export import animated_glb
from ds4d.export.context import ExportContext
from ds4d.export.density_mesh import density_mesh
from ds4d.mesh.io import linear_to_srgb
from ds4d.run.workspace import Workspace
from ds4d.splatting.splats import Splats
from tests.export.balls import COLOR, balls


class Asset:
    """A ball that jumps to the right."""

    positions = torch.tensor([0.0, 0.5, 1.0])

    def splats(self, position: float) -> Splats:
        return balls((position * 0.3, -0.2, 0.1))


@pytest.fixture(scope="module")
def glb(tmp_path_factory) -> tuple[dict, bytes]:
    """The tree of an animated glb of 4 seconds and its binary part; the frame of the file holds."""
    context = ExportContext(Asset(), Workspace(tmp_path_factory.mktemp("run")), 4.0)
    names = list(animated_glb.write(context))
    assert set(names) == {animated_glb.NAME}
    data = (context.workspace / animated_glb.NAME).read_bytes()
    magic, version, length, text, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    size, kind = struct.unpack("<I4s", data[20 + text : 28 + text])
    assert kind == b"BIN\0" and size == len(data) - 28 - text and text % 4 == size % 4 == 0
    return json.loads(data[20 : 20 + text]), data[28 + text :]


def values(glb: tuple[dict, bytes], number: int) -> np.ndarray:
    """Array of an accessor, read as the specification says."""
    tree, data = glb
    accessor = tree["accessors"][number]
    view = tree["bufferViews"][accessor["bufferView"]]
    kind = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[accessor["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    assert view["byteOffset"] % 4 == 0
    count = accessor["count"] * width
    assert view["byteLength"] == count * np.dtype(kind).itemsize
    found = np.frombuffer(data, kind, count, view["byteOffset"]).reshape(-1, width)
    if "min" in accessor:
        assert found.min(0).tolist() == accessor["min"] and found.max(0).tolist() == accessor["max"]
    return found


def shown(glb: tuple[dict, bytes], time: float) -> list[int]:
    """The frames that a viewer shows at a time, by step interpolation."""
    (animation,) = glb[0]["animations"]
    seen = []
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        assert sampler["interpolation"] == "STEP" and channel["target"]["path"] == "scale"
        keys, scales = values(glb, sampler["input"])[:, 0], values(glb, sampler["output"])
        assert (np.diff(keys) > 0).all() and keys[0] == 0 and keys[-1] == 4 and len(keys) < 5
        scale = scales[np.searchsorted(keys, time, side="right") - 1]
        assert scale.tolist() in ([0, 0, 0], [1, 1, 1])
        if scale.any():
            seen.append(glb[0]["nodes"][channel["target"]["node"]]["name"])
    return seen


@pytest.mark.parametrize(
    ("time", "frame"), [(0.0, 1), (0.9, 1), (1.1, 2), (2.9, 2), (3.1, 3), (4.0, 3)]
)
def test_one_frame_is_seen_at_a_time_the_nearest(glb, time, frame):
    assert shown(glb, time) == [f"frame_{frame:04d}"]


def test_where_nothing_moves_the_middle_frame_is_seen(glb):
    root, *frames = glb[0]["nodes"]
    assert root["children"] == [1, 2, 3]
    assert [node["scale"][0] for node in frames] == [0.0, 1.0, 0.0]


def test_frames_move_in_the_axes_of_gltf(glb):
    """Right stays right, what is in front of the object faces +Z, and up is +Y."""
    for mesh, x in zip(glb[0]["meshes"], (0.0, 0.15, 0.3), strict=True):
        (primitive,) = mesh["primitives"]
        centre = values(glb, primitive["attributes"]["POSITION"]).mean(0)
        assert centre == pytest.approx((x, 0.1, 0.2), abs=0.005)


def test_vertices_have_the_colour_of_their_gaussians(glb):
    (primitive,) = glb[0]["meshes"][0]["primitives"]
    number = primitive["attributes"]["COLOR_0"]
    assert glb[0]["accessors"][number]["normalized"]
    colors = linear_to_srgb(values(glb, number) / 65535)  # glTF's are linear
    assert np.abs(colors - (*COLOR, 1.0)).max() < 0.01


def test_other_programs_read_it(glb, tmp_path):
    context = ExportContext(Asset(), Workspace(tmp_path), 4.0)
    list(animated_glb.write(context))
    shapes = trimesh.load_scene(tmp_path / animated_glb.NAME).geometry
    assert set(shapes) == {"frame_0001", "frame_0002", "frame_0003"}
    assert all(shape.is_watertight and shape.volume > 0 for shape in shapes.values())


def test_a_large_object_gets_a_coarser_grid(tmp_path, monkeypatch):
    monkeypatch.setattr(animated_glb, "MAX_VERTICES", 300)
    cell = animated_glb._cell(balls((0, 0, 0)))
    assert len(density_mesh(balls((0, 0, 0)), cell).vertices) == pytest.approx(300, rel=0.3)


def test_an_invisible_object_has_no_surface_and_leaves_a_frame_out(tmp_path):
    empty = density_mesh(balls((0.0, 0.0, 0.0), opacity=0.1), 0.02)
    assert len(empty.vertices) == len(empty.faces) == 0
    full = density_mesh(balls((0.0, 0.0, 0.0)), 0.02)
    animated_glb.write_animated_glb(tmp_path / "a.glb", [full, empty], [0.0, 2.0], 2.0, 0)
    assert set(trimesh.load_scene(tmp_path / "a.glb").geometry) == {"frame_0001"}
